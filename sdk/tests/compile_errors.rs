//! Every mistake with the attribute is said in words that help.

#[test]
fn mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    #[cfg(not(feature = "axum"))]
    cases.compile_fail("tests/ui/without_axum/*.rs");
    #[cfg(feature = "axum")]
    cases.compile_fail("tests/ui/with_axum/*.rs");
}
