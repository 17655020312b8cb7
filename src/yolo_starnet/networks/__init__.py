"""What runs: StarNet, its fitted form, timm's models, their ImageNet weights and their CPU kernels."""
