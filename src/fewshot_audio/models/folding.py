"""Networks for inference: each batch norm folded into the convolution or the linear layer beside it."""

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fewshot_audio.models.blocks import ConvBlock
from fewshot_audio.models.encoders import CNN, Hybrid
from fewshot_audio.models.ensemble import ensemble_members
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.resnet import ResidualBlock, ResNet12
from fewshot_audio.models.resnet8 import ResNet8, StridedBlock


def with_folded_norms(network: FewShotNetwork) -> FewShotNetwork:
    """A network that computes what ``network`` does in evaluation mode, in fewer steps; for inference only.

    It shares the weights that stay as they are, and encoders of other kinds as a whole.
    """
    shared: dict[int, object] = {id(tensor): tensor for tensor in network.state_dict(keep_vars=True).values()}
    encoders = ensemble_members(network.encoder)
    foldable = CNN | Hybrid | ResNet8 | ResNet12
    shared |= {id(encoder): encoder for encoder in encoders if not isinstance(encoder, foldable)}
    network = copy.deepcopy(network, shared).eval()
    for module in list(network.encoder.modules()):
        if isinstance(module, ConvBlock):
            _fold(module, "conv", "norm")
        elif isinstance(module, ResidualBlock | StridedBlock):
            for number in range(len(module.convs)):
                _fold(module, f"convs.{number}", f"norms.{number}")
            _fold(module.shortcut, "0", "1")
        elif isinstance(module, ResNet8 | ResNet12) and isinstance(module.stem, nn.Sequential):
            _fold(module.stem, "0", "1")
        if isinstance(module, CNN | Hybrid | ResNet8):  # a ResNet8 may have a stem too
            module.linear = fold_into_linear(module.norm, module.linear)
            module.set_submodule("norm", nn.Identity())
    return network


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    """Fold the batch norm of that name into the convolution of that name."""
    before, after = cast(nn.Conv2d, module.get_submodule(conv)), cast(nn.BatchNorm2d, module.get_submodule(norm))
    module.set_submodule(conv, fold_into_conv(before, after))
    module.set_submodule(norm, nn.Identity())


class FoldedConv(nn.Module):
    """A convolution of one image, also of a small one, by the CPU's fast kernels.

    ``nn.Conv2d`` leaves a single image of up to 20,480 numbers, such as a spectrogram, to one that is three times
    slower.

    Shape: (n, in_channels, height, width) -> (n, channels, height, width).
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        conv = self.conv
        is_available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        if x.device.type != "cpu" or x.dtype != torch.float32 or not is_available:
            convolved: Tensor = conv(x)
        else:
            padding = cast(tuple[int, int], conv.padding)
            convolved = torch.mkldnn_convolution(
                x, conv.weight, conv.bias, padding, conv.stride, conv.dilation, conv.groups
            )
        return convolved


def fold_into_conv(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """The convolution that does what ``norm`` does after ``conv``."""
    folded = fuse_conv_bn_eval(conv, norm)
    folded.weight.data = folded.weight.data.contiguous(memory_format=torch.channels_last)
    return FoldedConv(folded.requires_grad_(requires_grad=False))


def fold_into_linear(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    """The linear layer that does what ``norm`` does before ``linear``."""
    slope = norm.weight * (cast(Tensor, norm.running_var) + norm.eps).rsqrt()
    shift = norm.bias - slope * cast(Tensor, norm.running_mean)
    folded = nn.Linear(linear.in_features, linear.out_features, device=linear.weight.device)
    folded.bias.data = F.linear(shift, linear.weight, linear.bias)
    folded.weight.data = linear.weight * slope
    return folded
