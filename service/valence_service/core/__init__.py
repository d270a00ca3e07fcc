"""What every floor speaks. Knows neither the wire nor the weights, and imports none of them."""
