"""Weight pruning: blocks of weights, whole MLP neurons and heads. Masks are on the 16x16 grid of the hardware.

Importing the package registers its methods; a new one is a file that registers itself and a line here.
"""

from algo.prune import dimap, kwon, learned, magnitude, optin, second_order, snp
from algo.prune.blocks import prune_blocks
from algo.prune.methods import method_names, method_spec, register_method
from algo.prune.neurons import prune_neurons
from algo.prune.scores import register_scores, score_names

__all__ = ["dimap", "kwon", "learned", "magnitude", "method_names", "method_spec", "optin", "prune_blocks",
           "prune_neurons", "register_method", "register_scores", "score_names", "second_order", "snp"]
