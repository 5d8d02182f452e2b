"""Device drivers and what they map: buffers, dma-buf, TTM, device memory."""
