"""Certificates: proofs, on one data set, that EM converges linearly, how fast and from where."""

from moe_theory.certificates.certificate import Certificate
from moe_theory.certificates.make import certify

__all__ = ["Certificate", "certify"]
