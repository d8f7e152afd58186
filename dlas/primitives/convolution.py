"""Shape of a convolution layer, independent of the algorithm that computes it."""

from dataclasses import dataclass

from dlas.errors import StudyError


@dataclass(frozen=True)
class Convolution:
    """The shape of one two-dimensional convolution.

    A linear layer is the 1x1 convolution of a 1x1 feature map.

    Attributes
    ----------
    batch : int
        Number of images.
    in_channels : int
        Number of input channels, a multiple of `groups`.
    height, width : int
        Size of the input without padding.
    out_channels : int
        Number of output channels, a multiple of `groups`.
    kernel : tuple of int
        Height and width of the kernel.
    stride : tuple of int
        Strides down and across.
    padding : tuple of int
        Rows and columns added at the (top, left, bottom, right).
    groups : int
        Number of groups of channels that are convolved separately.
    border : int
        Value that fills the padding: the zero point of the feature map.

    Raises
    ------
    StudyError
        If the groups do not divide the channels, or the kernel is larger than the padded input.
    """

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    border: int = 0

    def __post_init__(self) -> None:
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise StudyError(
                f"{self}: the channels, {self.in_channels} in and {self.out_channels} out, "
                f"must be multiples of the groups, {self.groups}"
            )
        if self.out_height < 1 or self.out_width < 1:
            raise StudyError(f"{self}: the kernel is larger than the padded input")

    def __str__(self) -> str:
        rows, columns = self.kernel
        return (
            f"convolution {rows}x{columns} stride {self.stride[0]}x{self.stride[1]}, "
            f"{self.in_channels} to {self.out_channels} channels in {self.groups} groups "
            f"at {self.height}x{self.width}"
        )

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        top, _, bottom, _ = self.padding
        return (self.height + top + bottom - self.kernel[0]) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        _, left, _, right = self.padding
        return (self.width + left + right - self.kernel[1]) // self.stride[1] + 1

    @property
    def padded(self) -> bool:
        """Whether padding is added to the input."""
        return any(self.padding)

    @property
    def pointwise(self) -> bool:
        """Whether the layer is a plain matrix product: 1x1, stride 1, no padding."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and not self.padded

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved separately, to one output channel."""
        return self.groups > 1 and self.groups == self.in_channels == self.out_channels

    @property
    def kind(self) -> str:
        """Kind of the layer: depthwise_convolution, pointwise_convolution or convolution."""
        if self.depthwise:
            return "depthwise_convolution"
        return "pointwise_convolution" if self.kernel == (1, 1) else "convolution"

    @property
    def in_shape(self) -> tuple[int, int, int, int]:
        """Shape of the input: (batch, in_channels, height, width)."""
        return (self.batch, self.in_channels, self.height, self.width)

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        """Shape of the output: (batch, out_channels, out_height, out_width)."""
        return (self.batch, self.out_channels, self.out_height, self.out_width)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weight, as in PyTorch: (out_channels, in_channels / groups, *kernel)."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel)

    @property
    def macs(self) -> int:
        """Number of multiply-accumulate operations of one inference of the whole batch."""
        channels, rows, columns = self.weight_shape[1:]
        positions = self.batch * self.out_height * self.out_width
        return positions * self.out_channels * channels * rows * columns
