"""Objects of other packages as trajectories, see `graphkoopman.trajectories.converter`.

A converter is registered for classes by name, so that nothing is imported before an object of
that class has been seen; one more package is one more decorated function.
"""
