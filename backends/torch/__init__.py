"""The PyTorch backend: generated code, custom operators, and layers called like nn.LSTM."""

from rnndsl.backends.torch.build import layer as layer
from rnndsl.backends.torch.errors import LayerInputError as LayerInputError
from rnndsl.backends.torch.errors import LayerOptionError as LayerOptionError
from rnndsl.backends.torch.errors import NonFiniteError as NonFiniteError
from rnndsl.backends.torch.errors import SecondDerivativeError as SecondDerivativeError
from rnndsl.backends.torch.layer import Layer as Layer
