# mixtools' hmeEM on one problem, from the M-step of one start: two Gaussian experts, the gate on the experts' columns.
#
#   Rscript mixtools_em.R data=data.csv start=start.csv out=out.json max_iterations=1000 tolerance=1e-10
#
# hmeEM takes parameters, not responsibilities: the M-step of the start is made here, and counted as an iteration.
# Its epsilon is a difference of log-likelihoods; tolerance is relative to the start's, as in flexmix. timed=10: time
# 3 and 3 + timed iterations instead (0: not), for the seconds per iteration.
#
# What mixtools 2.0.0 does (print(hmeEM)):
# - NR, the gate's step, reads sum(B), sum(x[, 2] * B) and a 2 x 2 matrix: with three or more columns the step of two
#   numbers is recycled over w (with a warning for an odd number of columns, silently for an even one). Wrong there.
# - A = (s / (1 + exp(x w)))^-1 is 1 / (s (1 - s)), not s (1 - s): the step is at least 16 times too short, and the inner
#   loop ends once the step's 1-norm is below 0.001 per column. So the gate is not maximised, and EM is slowed down.
# - A log-likelihood that falls, by however little, is called a singularity: EM then restarts from random parameters
#   ("Need new starting values due to singularity...", up to 15 times), and the start given is forgotten.
# - A column, never an intercept alone: x[, 2] has to exist.

here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))
source(file.path(here, "common.R"))
suppressPackageStartupMessages(library(mixtools))

options <- modifyList(list(max_iterations = "1000", tolerance = "1e-10", timed = "0"), arguments())
p <- read_problem(options)
x <- unname(p$x)
r <- p$start / rowSums(p$start)
if (ncol(r) != 2) stop("hmeEM has two experts only")
if (!identical(x, unname(p$g))) stop("hmeEM has one matrix for gate and experts")

began <- seconds_now()
w <- unname(suppressWarnings(
  glm.fit(x, r[, 1], family = quasibinomial(), control = list(epsilon = 1e-14, maxit = 100))$coefficients
))
experts <- apply(r, 2, function(weight) lm.wfit(x, p$y, weight)$coefficients)
sigma <- sqrt(colSums(r * (p$y - x %*% experts)^2) / colSums(r))
first <- exact_log_likelihood(p, "gaussian", cbind(0, -w), experts, sigma)
epsilon <- as.numeric(options$tolerance) * (abs(first) + 0.1)
first_seconds <- seconds_now() - began

climb <- function(iterations, epsilon) {
  set.seed(0) # its restarts are random
  began <- seconds_now()
  fit <- hmeEM(
    p$y, x, w = w, beta = experts, sigma = sigma, k = 2, addintercept = FALSE, epsilon = epsilon, maxit = iterations
  )
  list(fit = fit, seconds = seconds_now() - began)
}

per_iteration <- NA
timed <- as.integer(options$timed)
iterations <- as.integer(options$max_iterations) - 1
if (timed > 0) {
  iterations <- 3 + timed
  epsilon <- -Inf
  short <- climb(3, epsilon)
}
held <- reset_peak()
long <- climb(iterations, epsilon)
peak_mib <- peak() - held
fit <- long$fit
done <- length(fit$all.loglik) - 1 # since the last restart
if (timed > 0) {
  if (short$fit$restarts + fit$restarts == 0) per_iteration <- (long$seconds - short$seconds) / timed
} else if (fit$restarts == 0 && done > 0) {
  per_iteration <- long$seconds / done
}

gate <- cbind(0, -as.vector(fit$w)) # the first expert is the gate's reference, as in flexmix
cat(json(list(
  log_likelihood_claimed = fit$loglik,
  log_likelihood = exact_log_likelihood(p, "gaussian", gate, fit$beta, fit$sigma),
  iterations = done + 1, converged = done < iterations, restarts = fit$restarts,
  seconds = first_seconds + long$seconds, seconds_per_iteration = per_iteration, peak_mib = peak_mib,
  gate = t(gate), experts = unname(t(fit$beta)), sigma = matrix(fit$sigma, 1),
  version = paste("mixtools", packageVersion("mixtools")), r = R.version.string, blas = as.character(sessionInfo()$BLAS)
)), "\n", file = options$out, sep = "")
