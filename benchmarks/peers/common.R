# What both R contestants share: arguments, the input, the exact log-likelihood, a clock, peak memory, JSON by hand.
# Sourced by flexmix_em.R and mixtools_em.R, which lie beside it.

options(warn = 1, digits = 17)

# key=value arguments as a list of strings.
arguments <- function() {
  pairs <- regmatches(given <- commandArgs(trailingOnly = TRUE), regexpr("=", given), invert = TRUE)
  setNames(lapply(pairs, `[`, 2), vapply(pairs, `[`, "", 1))
}

# A CSV as a matrix of doubles: by data.table where it is (a million rows in seconds), else by base R.
read_matrix <- function(path) {
  frame <- if (requireNamespace("data.table", quietly = TRUE)) {
    data.table::fread(path, data.table = FALSE, colClasses = "numeric")
  } else {
    read.csv(path, colClasses = "numeric")
  }
  as.matrix(frame)
}

# y, x (n, d), g (n, q), both with their intercept columns, and the start's responsibilities (n, k).
read_problem <- function(options) {
  data <- read_matrix(options$data)
  columns <- function(letter) grep(paste0("^", letter, "[0-9]+$"), colnames(data))
  list(
    y = unname(data[, "y"]), x = data[, columns("x"), drop = FALSE], g = data[, columns("g"), drop = FALSE],
    start = unname(read_matrix(options$start))
  )
}

# The sum over rows of log sum_j pi_j(g) f_j(y|x), plainly; gate (q, k), experts (d, k), sigma (k) or NULL.
exact_log_likelihood <- function(p, family, gate, experts, sigma) {
  log_sum <- function(a) (top <- do.call(pmax, as.data.frame(a))) + log(rowSums(exp(a - top)))
  scores <- p$g %*% gate
  mean <- p$x %*% experts
  density <- vapply(seq_len(ncol(experts)), function(j) {
    switch(family,
      gaussian = dnorm(p$y, mean[, j], sigma[j], log = TRUE),
      binomial = dbinom(p$y, 1, plogis(mean[, j]), log = TRUE),
      poisson = dpois(p$y, exp(mean[, j]), log = TRUE)
    )
  }, p$y)
  sum(log_sum(scores - log_sum(scores) + density))
}

seconds_now <- function() as.numeric(Sys.time())

# Forget the peak; what R holds now, MiB.
reset_peak <- function() {
  held <- gc(reset = TRUE)
  sum(held[, 2])
}

# R's own count (gc); what nnet's C code takes by itself is not in it.
peak <- function() {
  held <- gc()
  sum(held[, ncol(held)])
}

# JSON of a list of numbers, flags, strings, vectors and matrices (row by row); what is not finite becomes null.
json <- function(value) {
  if (is.null(value)) return("null")
  if (is.list(value)) {
    entries <- sprintf("\"%s\": %s", names(value), vapply(value, json, ""))
    return(paste0("{", paste(entries, collapse = ", "), "}"))
  }
  if (is.matrix(value)) return(paste0("[", paste(apply(value, 1, json_row), collapse = ", "), "]"))
  if (length(value) == 1) scalar(value) else json_row(value)
}
json_row <- function(value) paste0("[", paste(vapply(value, scalar, ""), collapse = ", "), "]")
scalar <- function(value) {
  if (is.character(value)) return(encodeString(value, quote = "\""))
  if (is.logical(value)) return(if (is.na(value)) "null" else tolower(as.character(value)))
  if (is.finite(value)) sprintf("%.17g", value) else "null"
}
