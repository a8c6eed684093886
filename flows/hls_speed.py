"""How fast the HLS models, compiled for this machine, are on one thread."""

from __future__ import annotations

from flows.compile import config_for, image_words
from flows.contracts.artifact import SparseVit
from flows.contracts.preprocess import load_image, patch_codes
from flows.hls_flow import best_seconds
from flows.sim_flow import default_image, obtain_program
from hls_models.native import engine_for


def hls_images_per_second(artifact: SparseVit, images: int = 3, clusters: int = 4) -> float:
    """Images per second of one core's time of the HLS models, which know only one thread; compiling is not counted.

    Parameters
    ----------
    images : runs of which the fastest counts
    clusters : MAC clusters of the accelerator; the models do the same products for any number
    """
    config = config_for(artifact, clusters=clusters)
    program = obtain_program(artifact, config)
    picture = image_words(program, patch_codes(load_image(default_image()), artifact)).tobytes()
    return 1 / best_seconds(engine_for(config), program, [picture], images)
