# flexmix's EM on one problem, from one start: FLXMRglm experts, FLXPmultinom gate, every row weighted by its posterior.
#
#   Rscript flexmix_em.R data=data.csv start=start.csv out=out.json family=gaussian max_iterations=1000 tolerance=1e-10
#
# data.csv: y, x1..xd, g1..gq (the intercepts are columns); start.csv: responsibilities, n x k. warm=3: iterations that
# the seconds per iteration leave out. The gate that flexmix returns belongs to the *next* M-step, not to its
# logLik; so the concomitant's fit is wrapped, to keep the gate of the last iteration and a time stamp per iteration.

here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))
source(file.path(here, "common.R"))
suppressPackageStartupMessages(library(flexmix))

options <- modifyList(list(max_iterations = "1000", tolerance = "1e-10", warm = "3"), arguments())
p <- read_problem(options)
family <- options$family
n <- length(p$y)

trace <- new.env()
trace$stamps <- numeric(0)
trace$stopped <- 0 # gate fits that nnet ended at its limit of 100 BFGS steps
gate <- FLXPmultinom(as.formula(paste("~ 0 +", paste(colnames(p$g), collapse = " + "))))
inner <- environment(gate@fit)$multinom.fit
gate@fit <- function(x, y, w, ...) {
  trace$stamps <- c(trace$stamps, seconds_now())
  fit <- inner(x, y, w, ...)
  trace$wts <- fit$wts
  trace$stopped <- trace$stopped + (fit$convergence != 0)
  fit$fitted.values
}

frame <- data.frame(y = p$y, p$x, p$g)
left <- if (family == "binomial") "cbind(y, 1 - y)" else "y"
formula <- as.formula(paste(left, "~ 0 +", paste(colnames(p$x), collapse = " + ")))
control <- list(
  iter.max = as.integer(options$max_iterations), minprior = 0, tolerance = as.numeric(options$tolerance),
  classify = "weighted", verbose = 0
)
set.seed(0) # nothing is drawn with this control; to be sure
held <- reset_peak()
began <- seconds_now()
model <- flexmix(
  formula, data = frame, cluster = p$start, model = FLXMRglm(family = family), concomitant = gate, control = control
)
seconds <- seconds_now() - began
peak_mib <- peak() - held

warm <- min(as.integer(options$warm), length(trace$stamps) - 2)
per_iteration <- if (warm < 0) NA else mean(diff(trace$stamps)[(1 + warm):(length(trace$stamps) - 1)])

k <- model@k
q <- ncol(p$g)
used <- matrix(trace$wts, q + 1)[-1, , drop = FALSE] # (q, k); the row dropped is nnet's unused bias
used <- used - used[, 1]
refitted <- unname(parameters(model, which = "concomitant"))
component <- lapply(model@components, function(c) c[[1]]@parameters)
experts <- matrix(vapply(component, function(c) unname(c$coef), numeric(ncol(p$x))), ncol(p$x))
sigma <- if (family == "gaussian") vapply(component, function(c) c$sigma, 0) else NULL
ml_sigma <- sigma * sqrt((n - ncol(p$x)) / n) # flexmix divides by n - d; the M-step's maximum by n
likelihood <- function(gate, sigma) exact_log_likelihood(p, family, gate, experts, sigma)

cat(json(list(
  log_likelihood_claimed = model@logLik,
  log_likelihood = likelihood(used, sigma),
  log_likelihood_ml_sigma = if (is.null(sigma)) likelihood(used, NULL) else likelihood(used, ml_sigma),
  log_likelihood_refitted_gate = likelihood(refitted, sigma),
  iterations = model@iter, converged = model@converged, components = k,
  seconds = seconds, seconds_per_iteration = per_iteration, peak_mib = peak_mib, gate_fits_stopped = trace$stopped,
  gate = t(used), gate_refitted = t(refitted), experts = t(experts),
  sigma = if (is.null(sigma)) NULL else matrix(sigma, 1), ml_sigma = if (is.null(sigma)) NULL else matrix(ml_sigma, 1),
  version = paste("flexmix", packageVersion("flexmix")), r = R.version.string, blas = as.character(sessionInfo()$BLAS)
)), "\n", file = options$out, sep = "")
