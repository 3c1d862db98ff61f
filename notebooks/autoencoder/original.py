"""An autoencoder for small images: squeeze an image into a short code, then draw it again."""

import torch
from torch import nn


class Autoencoder(nn.Module):
    """Pass images through a narrow code and back.

    A code has far fewer numbers than an image has pixels, so an image can only be drawn again
    if its code holds what matters about it. Trained on the mean squared error between images
    and reconstructions.

    Args:
        pixels: numbers in an image, which comes as one row (an 8x8 image has 64).
        hidden: width of the layer between image and code, the same on both sides.
        code: numbers in a code.
    """

    def __init__(self, pixels=64, hidden=32, code=8):
        super().__init__()
        self.enc_hidden = nn.Linear(pixels, hidden)
        self.enc_code = nn.Linear(hidden, code)
        self.dec_hidden = nn.Linear(code, hidden)
        self.dec_pixels = nn.Linear(hidden, pixels)

    def encoder(self, x):
        """Squeeze images into codes; every number of a code lies between -1 and 1.

        Shapes: x (batch, pixels) -> (batch, code)
        """
        hidden = torch.relu(self.enc_hidden(x))
        return torch.tanh(self.enc_code(hidden))

    def decoder(self, z):
        """Draw images from codes; every pixel lies between 0 (paper) and 1 (ink).

        Shapes: z (batch, code) -> (batch, pixels)
        """
        hidden = torch.relu(self.dec_hidden(z))
        return torch.sigmoid(self.dec_pixels(hidden))

    def forward(self, x):
        """Reconstruct images from their codes.

        Shapes: x (batch, pixels) -> (batch, pixels)
        """
        z = self.encoder(x)
        return self.decoder(z)
