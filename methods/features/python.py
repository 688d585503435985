"""Label propagation from Python, without a command line."""

import torch

from vosbench.inference.propagator import Propagator
from vosbench.methods.features.backbone import Backbone
from vosbench.methods.features.method import Features, FrozenFeatures, Memory
from vosbench.settings.making import made
from vosbench.settings.protocols import protocol_settings


def propagator(protocol: str, backbone: Backbone, device: torch.device | str = "cpu") -> Propagator[Features, Memory]:
    """What `vosbench predict method=features propagation=<protocol>` segments a video with; one for each video.

    Raises UserError for an unknown protocol.
    """
    settings = protocol_settings(protocol)
    method = FrozenFeatures(backbone, settings["matching"]).to(device)
    memory, resizing = (made(settings[part], part, _convert_="all") for part in ("memory", "inference"))
    return Propagator(method, memory, resizing, device)
