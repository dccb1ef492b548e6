"""Answers to the questions that a residual backbone raises, with the figures of the spec at hand."""
