"""Inner loops of the statistics of resamples, compiled; they release the GIL.

Each passes over the objects in their order, once for a block of resamples, which needs no memory
for the weights of all objects in all resamples. A lane is a resample of a block: what is done for
each lane in turn becomes vector instructions, and adds up in the same order as for one alone. All
take

drawn
    int32 (block, group, lane): how often each group was drawn.
group
    int64 (object,): the group of each object in order.
is_last
    bool (object,): whether an object is the last of its tie in order; sums are taken by tie.

Shape checkers cannot wrap what Numba compiles, hence ``no_type_check``: the callers state and check
the shapes.
"""
