"""Losses on sparse tags, one family a file.

Every loss (`base.TagLoss`) has the same two methods, so that the loop does not know which it is:

    loss.begin_step(targets, step)     # the tags of the whole effective batch
    value = loss(logits, part)         # once a micro-batch; the values add up to the batch's loss
"""
