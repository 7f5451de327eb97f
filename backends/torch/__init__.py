"""The PyTorch backend: generated code, custom operators, and layers called like nn.LSTM."""

from rnndsl.backends.errors import LayerOptionError as LayerOptionError
from rnndsl.backends.torch.build import layer as layer
from rnndsl.backends.torch.convert import from_torch as from_torch
from rnndsl.backends.torch.errors import LayerInputError as LayerInputError
from rnndsl.backends.torch.errors import NonFiniteError as NonFiniteError
from rnndsl.backends.torch.errors import SecondDerivativeError as SecondDerivativeError
from rnndsl.backends.torch.errors import TransformError as TransformError
from rnndsl.backends.torch.gradients import GradientReport as GradientReport
from rnndsl.backends.torch.gradients import gradcheck as gradcheck
from rnndsl.backends.torch.module import Layer as Layer
