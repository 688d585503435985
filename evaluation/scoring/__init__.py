"""From label maps to scores: sequence by sequence, in several processes, with checks of the predictions."""
