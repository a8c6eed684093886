"""Weight pruning: blocks of weights and whole MLP neurons. Masks are on the 16x16 grid of the hardware."""

from algo.prune.blocks import prune_blocks
from algo.prune.neurons import prune_neurons
from algo.prune.scores import register_scores, score_names

__all__ = ["prune_blocks", "prune_neurons", "register_scores", "score_names"]
