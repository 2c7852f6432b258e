"""Inner loops of the statistics of resamples, compiled; they release the GIL.

Each passes once over the objects in their order for every resample, which needs no memory for the
weights of all objects in all resamples. All take

n_drawn
    int32 (resample, group): how often each group was drawn.
group
    int64 (object,): the group of each object in order.
is_last
    bool (object,): whether an object is the last of its tie in order; sums are taken by tie.

Shape checkers cannot wrap what Numba compiles, hence ``no_type_check``: the callers state and check
the shapes.
"""
