// slang's warnings, all of them as errors, but for these.
-Weverything
-Werror
// A package holds the whole contract, and is imported whole; no single top uses all of it.
-Wno-unused-package-parameter
-Wno-unused-package-typedef
-Wno-unused-package-subroutine
-Wno-unused-wildcard-import
-Wno-unused-def
// An output that a user has no need of is left open by name on purpose.
-Wno-empty-output-connection
// `unique` says that no two match, `default` what else there is.
-Wno-case-redundant-default
-Wno-case-enum-explicit
// Bytes of a vector and the vector are the same bits; a cast says a width that a parameter may change.
-Wno-packed-array-conv
-Wno-comparison-mismatch
-Wno-useless-cast
// A constant of a parameter's width, N'(1), is signed; the bits are the same at equal widths.
-Wno-arith-op-mismatch
-Wno-bitwise-op-mismatch
-Wno-sign-compare
-Wno-sign-conversion
