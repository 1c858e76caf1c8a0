"""Every error the package raises on purpose: one line that names what, what was expected and what came."""


class MoeTheoryError(Exception):
    """Base of all errors raised on purpose; the command line turns it into one line and exit code 2."""


class InputError(MoeTheoryError, ValueError):
    """An argument, a file or a table is not what it has to be."""


class DerivationError(MoeTheoryError, ValueError):
    """A declaration from which the wanted quantity cannot be derived."""


class NotExponentialFamilyError(DerivationError):
    """The joint law of (y, z) given x is not an exponential family; the message names the term that breaks it."""


class CurvedModelError(DerivationError):
    """The family is curved: its natural parameters are not affine in the predictors; the message names the term."""


class NoClosedFormError(DerivationError):
    """An expectation that is not of the kind that is integrated in closed form."""


class CollinearError(InputError):
    """Rows that do not tell functions of the features apart."""


class UnprovableError(MoeTheoryError):
    """What a certificate needs does not hold, or could not be proved: its reason."""


class DegenerateError(MoeTheoryError):
    """An M-step without a finite solution (e.g. a gate that separates the labels), or one that was not found.

    label: the latent label it happens at, where there is one. rows: indices of the table's rows of that label. bounded:
    whether the likelihood has a finite supremum where this is heading.
    """

    def __init__(
        self, message: str, label: int | None = None, rows: tuple[int, ...] = (), bounded: bool = False
    ) -> None:
        super().__init__(message)
        self.label, self.rows, self.bounded = label, rows, bounded


class SingularError(DegenerateError):
    """No minimum, or none that is unique: the curvature vanishes in some direction."""


class NotFiniteError(DegenerateError):
    """A quantity of an M-step that is not a finite number; the message says which, and at which row."""
