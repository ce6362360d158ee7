"""What a month costs on every plan, exactly, what the next one may cost, and which plan that advises."""
