"""The command `fo1`: connects the library, Ray and the service."""
