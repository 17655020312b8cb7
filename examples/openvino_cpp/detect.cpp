// Detect objects in images with an ONNX file or an OpenVINO model that Ultralytics exported: detect best.onnx 0.25 a.jpg b.jpg
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <openvino/openvino.hpp>

constexpr float IOU = 0.7f;
constexpr size_t MOST = 300;

struct Box {
    float x1, y1, x2, y2, score;
    int index;
    float area() const { return (x2 - x1) * (y2 - y1); }
};

float iou(const Box& a, const Box& b) {
    const float w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1), h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
    const float both = std::max(w, 0.f) * std::max(h, 0.f);
    return both / (a.area() + b.area() - both);
}

// The boxes without those that a better one of their class covers.
std::vector<Box> suppress(std::vector<Box> boxes) {
    std::stable_sort(boxes.begin(), boxes.end(), [](const Box& a, const Box& b) { return a.score > b.score; });
    std::vector<Box> kept;
    for (const Box& box : boxes) {
        const auto covers = [&](const Box& k) { return k.index == box.index && iou(k, box) > IOU; };
        if (kept.size() < MOST && std::none_of(kept.begin(), kept.end(), covers)) kept.push_back(box);
    }
    return kept;
}

// What the network returns, 1 x (4 + classes) x N before suppression or 1 x N x 6 after it, as boxes.
std::vector<Box> decode(const ov::Tensor& output, float conf) {
    const float* data = output.data<float>();
    const size_t rows = output.get_shape()[1], columns = output.get_shape()[2];
    std::vector<Box> boxes;
    if (columns == 6) {  // YOLO26 and nms=True
        for (size_t i = 0; i < rows; ++i, data += 6)
            if (data[4] > conf) boxes.push_back({data[0], data[1], data[2], data[3], data[4], int(data[5])});
        return boxes;
    }
    for (size_t i = 0; i < columns; ++i) {
        const auto at = [&](size_t row) { return data[row * columns + i]; };
        size_t best = 4;
        for (size_t row = 5; row < rows; ++row)
            if (at(row) > at(best)) best = row;
        const float x = at(0), y = at(1), w = at(2) / 2, h = at(3) / 2;
        if (at(best) > conf) boxes.push_back({x - w, y - h, x + w, y + h, at(best), int(best) - 4});
    }
    return suppress(boxes);
}

int run(int argc, char** argv) {
    ov::Core core;
    const float conf = std::stof(argv[2]);
    const auto model = core.read_model(argv[1]);
    // On CPUs with bfloat16, OpenVINO computes in that unless it is told not to. It is faster, and the boxes differ.
    ov::CompiledModel compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
    ov::InferRequest request = compiled.create_infer_request();
    const ov::Shape shape = compiled.input().get_shape();
    const int height = int(shape[2]), width = int(shape[3]);
    double seconds = 0;
    for (int i = 3; i < argc; ++i) {
        const cv::Mat image = cv::imread(argv[i]);
        if (image.empty()) throw std::runtime_error(std::string("cannot read ") + argv[i]);
        const auto start = std::chrono::steady_clock::now();
        const double gain = std::min(double(height) / image.rows, double(width) / image.cols);
        const int w = int(std::nearbyint(image.cols * gain)), h = int(std::nearbyint(image.rows * gain));
        const int left = int(std::nearbyint((width - w) / 2. - .1)), top = int(std::nearbyint((height - h) / 2. - .1));
        cv::Mat canvas(height, width, CV_8UC3, cv::Scalar::all(114)), resized;
        cv::resize(image, resized, {w, h});
        resized.copyTo(canvas({left, top, w, h}));
        float* input = request.get_input_tensor().data<float>();
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x)
                for (int c = 0; c < 3; ++c)  // BGR in rows of pixels to RGB in planes
                    input[(c * height + y) * width + x] = canvas.at<cv::Vec3b>(y, x)[2 - c] / 255.f;
        request.infer();
        std::vector<Box> boxes = decode(request.get_output_tensor(0), conf);
        seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        for (Box& b : boxes) {
            const auto x = [&](float v) { return std::clamp(float((v - left) / gain), 0.f, float(image.cols)); };
            const auto y = [&](float v) { return std::clamp(float((v - top) / gain), 0.f, float(image.rows)); };
            b = {x(b.x1), y(b.y1), x(b.x2), y(b.y2), b.score, b.index};
            std::printf("%s %d %.4f %.2f %.2f %.2f %.2f\n", argv[i], b.index, b.score, b.x1, b.y1, b.x2, b.y2);
        }
    }
    std::printf("%d frames, %.1f frames a second\n", argc - 3, (argc - 3) / seconds);
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 4) return std::fprintf(stderr, "usage: detect MODEL CONFIDENCE IMAGE...\n"), 2;
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        return std::fprintf(stderr, "%s\n", error.what()), 1;
    }
}
