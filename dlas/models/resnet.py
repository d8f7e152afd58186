"""The base of ResNet18 and ResNet50: torchvision's ResNet with a width for all of its layers."""

from typing import Any

from torch import Tensor, nn

from dlas.models.vision import channels, models

Block = type[models.resnet.BasicBlock] | type[models.resnet.Bottleneck]


class ResNet(models.resnet.ResNet):
    """Residual network (He et al., arXiv:1512.03385) whose stem and stages are scaled by `width`.

    torchvision's `width_per_group` scales only the inside of bottlenecks. The small-input stem is
    one 3x3 convolution with stride 1, without max pooling.
    """

    def __init__(self, block: Block, layers: list[int], classes: int, width: float, stem: str):
        self.width = width
        self.stem_channels = channels(64, width)
        super().__init__(block, layers, num_classes=classes)
        if stem == "small_input":
            self.conv1 = nn.Conv2d(3, self.stem_channels, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()  # type: ignore[assignment]
        else:
            self.conv1 = nn.Conv2d(3, self.stem_channels, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = nn.BatchNorm2d(self.stem_channels)
        self.fc = nn.Linear(channels(512, width) * block.expansion, classes)

    def _make_layer(
        self, block: Block, planes: int, *arguments: Any, **options: Any
    ) -> nn.Sequential:
        if not hasattr(self, "layer1"):
            self.inplanes = self.stem_channels
        return super()._make_layer(block, channels(planes, self.width), *arguments, **options)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float32 [B, classes] of float32 [B, 3, H, W]."""
        return self._forward_impl(images)
