"""Large batches: how to scale the learning rate, to accumulate, and to step layer by layer."""
