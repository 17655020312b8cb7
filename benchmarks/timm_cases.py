"""The cases of timm_models.py: models of timm, families of YOLO and image sizes."""

from __future__ import annotations

FAMILIES = ("yolo11n", "yolo26n")
SIZES = ((96, 128), (320, 320))
"""Height and width of the images that a model trains on."""
_NAMES = """
mobilenetv4_conv_small mobilenetv3_small_050 mobilenetv2_050 mobileone_s0 resnet10t resnet18 res2net50_26w_4s
resnest14d regnetx_002 regnety_002 efficientnet_lite0 efficientnet_es tf_efficientnetv2_b0 ghostnet_050 ghostnetv2_100
ghostnetv3_100 repghostnet_050 lcnet_050 tinynet_e mixnet_s fbnetc_100 mnasnet_small semnasnet_075 spnasnet_100
convnext_atto convnextv2_atto swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256 pvt_v2_b0
poolformer_s12 caformer_s18 edgenext_xx_small fastvit_t8 repvit_m0_9 tiny_vit_5m_224 efficientvit_b0 mambaout_femto
hgnetv2_b0 dla34 densenet121 vgg11_bn cspdarknet53 cs3darknet_s darknet53 vovnet39a ese_vovnet19b_dw hrnet_w18_small
rexnet_100 skresnet18 selecsls42b starnet_s1 focalnet_tiny_srf inception_next_atto davit_tiny twins_svt_small
mobilevit_xxs nextvit_small swiftformer_xs dpn48b xception41 rdnet_tiny resnetv2_18 gernet_s repvgg_a0
maxvit_rmlp_pico_rw_256:img_size=128 mvitv2_tiny:img_size=640 mvitv2_tiny maxvit_rmlp_pico_rw_256 coatnet_pico_rw_224
efficientformer_l1 efficientformerv2_s0 efficientvit_m0 levit_128s nest_tiny visformer_tiny
gcvit_xxtiny hiera_tiny_224 mobilevitv2_050 shvit_s1 botnet26t_256 halonet26t inception_v3
tresnet_m cait_xxs24_224 convmixer_768_32 coat_tiny
"""
MODELS = _NAMES.split()
"""Small models of every family that has any, then models that cannot be backbones; options after a colon."""
