"""Train the embedded model, make its int8 form, and measure both."""
