"""The machine: device, several processes, allocator, log noise, tensors on their way."""
