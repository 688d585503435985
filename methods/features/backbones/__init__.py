"""Networks whose features are used: timm's, a file of a ViT, ResNets, this project's encoders, and one's own."""
