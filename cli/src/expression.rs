//! `--jq`: an expression in jq's language that says whether an event is wanted.
//!
//! Numbers are what jaq makes of them; `--where` compares exactly.
#![forbid(unsafe_code)]

use anyhow::anyhow;
use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, unwrap_valr};
use jaq_json::{Val, read};

/// Compiles an expression. An event is wanted if its first result is neither `false` nor `null`;
/// one for which it fails or gives nothing is not.
pub(crate) fn compile(
    text: &str,
) -> anyhow::Result<impl Fn(&[u8]) -> bool + Send + Sync + 'static> {
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(definitions).load(&arena, File { code: text, path: () });
    let modules =
        modules.map_err(|errors| anyhow!("`{text}` is no jq expression: {}", told(&errors)))?;
    let compiled = Compiler::<_, JustLut<Val>>::default().with_funs(functions).compile(modules);
    let filter = compiled.map_err(|errors| {
        let mut unknown = errors.iter().flat_map(|(_, errors)| errors);
        let unknown = unknown.next().map_or_else(String::new, |(name, kind)| {
            format!(": there is no {} `{name}`", kind.as_str())
        });
        anyhow!("`{text}` is no jq expression{unknown}")
    })?;
    Ok(move |line: &[u8]| {
        let Ok(event) = read::parse_single(line) else { return false };
        let context = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let first = filter.id.run((context, event)).map(unwrap_valr).next();
        first.is_some_and(|value| {
            value.is_ok_and(|value| !matches!(value, Val::Null | Val::Bool(false)))
        })
    })
}

fn told(errors: &load::Errors<&str, ()>) -> String {
    let near = |text: &str| match text {
        "" => "it ends too early".to_owned(),
        text => format!("not understood from `{text}` on"),
    };
    match errors.first() {
        Some((_, load::Error::Lex(errors))) => {
            errors.first().map_or_else(String::new, |(_, rest)| near(rest))
        }
        Some((_, load::Error::Parse(errors))) => {
            errors.first().map_or_else(String::new, |(_, rest)| near(rest))
        }
        _ => "modules are not read here".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_wanted_if_the_first_result_is_true_or_a_value() {
        let line = br#"{"id":"1","data":{"n":5,"list":[{"a":1},{"a":2}],"t":"x"}}"#;
        let wanted = |text: &str| compile(text).unwrap()(line);
        for yes in
            [".data.n > 4", ".data.list | any(.a == 2)", ".id", "0", ".data.t | test(\"^x\")"]
        {
            assert!(wanted(yes), "{yes}");
        }
        for no in [".data.n > 5", ".missing", "empty", "error(1)", ".data.n.x", "false, true"] {
            assert!(!wanted(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_with_a_reason() {
        for (text, reason) in [
            (".data.n >", "no jq expression"),
            (".a | nothing", "`nothing`"),
            ("$x", "`$x`"),
            ("\"", "no jq"),
        ] {
            let told = compile(text).err().expect(text).to_string();
            assert!(told.contains(reason), "{text}: {told}");
        }
    }
}
