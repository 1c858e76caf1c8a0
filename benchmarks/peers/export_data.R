# Data sets that come with R, flexmix and mixtools, as CSV files in a folder: Rscript export_data.R FOLDER
# A package that is absent is left out; problems.py says which columns are y, x and g.

folder <- commandArgs(trailingOnly = TRUE)[1]
wanted <- list(
  flexmix = c("NPreg", "patent", "bioChemists"), mixtools = c("CO2data", "NOdata", "tonedata"),
  datasets = "airquality", MASS = "Pima.tr"
)
for (package in names(wanted)) {
  if (!requireNamespace(package, quietly = TRUE)) next
  for (name in wanted[[package]]) {
    data(list = name, package = package)
    frame <- na.omit(get(name))
    kept <- vapply(frame, function(column) is.numeric(column) || is.factor(column), TRUE)
    frame <- as.data.frame(lapply(frame[kept], as.numeric)) # factors as 1, 2, ... in the order of their levels
    frame[] <- lapply(frame, function(column) sprintf("%.17g", column))
    write.csv(frame, file.path(folder, paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
  }
}
