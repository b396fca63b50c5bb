"""A VGG-11 with batch normalisation for 64x64 colour images."""

import torch
import torch.nn as nn

# Output channels of each 3x3 convolution; "M" halves the image.
STAGES = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M"]


def make_features(stages):
    layers = []
    channels = 3
    for stage in stages:
        if stage == "M":
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        else:
            layers.append(nn.Conv2d(channels, stage, kernel_size=3, padding=1))
            layers.append(nn.BatchNorm2d(stage))
            layers.append(nn.ReLU(inplace=True))
            channels = stage
    return nn.Sequential(*layers)


class Model(nn.Module):
    def __init__(self, num_classes=100):
        super().__init__()
        self.features = make_features(STAGES)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 2 * 2, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(1024, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(1024, num_classes),
        )

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)


def get_inputs():
    return [torch.randn(4, 3, 64, 64)]


def get_init_inputs():
    return [100]
