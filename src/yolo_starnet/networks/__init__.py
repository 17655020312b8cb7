"""The networks: StarNet, its fitted form, timm's models, their ImageNet weights and their fast paths on CPUs."""
