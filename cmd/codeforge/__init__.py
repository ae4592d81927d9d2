"""
CodeForge: AI coding agents on git repositories, as a service. The command line and the wiring.
"""

__version__ = "0.1.0"
