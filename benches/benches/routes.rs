//! Finding a request's function among many.

use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use samovar_gateway::RouteTable;
use samovar_model::Route;

/// A table of this many functions, each with the two routes that it has by default.
fn table(functions: usize) -> RouteTable<usize> {
    let routes: Vec<(Route, usize)> = (0..functions)
        .flat_map(|number| {
            let paths = [format!("/function-{number}"), format!("/function-{number}/{{*rest}}")];
            paths.map(|path| (Route::any(path.parse().expect("a valid pattern")), number))
        })
        .collect();
    RouteTable::new(routes.iter().map(|(route, number)| (route, *number)))
}

fn routes(criterion: &mut Criterion) {
    for functions in [10, 10_000] {
        let table = table(functions);
        criterion.bench_function(&format!("route among {functions} functions"), |bencher| {
            bencher.iter(|| table.find("127.0.0.1:8080", "/function-7/items/42", &Method::GET));
        });
    }
}

criterion_group!(benches, routes);
criterion_main!(benches);
