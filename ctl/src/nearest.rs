//! The name that was probably meant.

/// The candidate nearest to what was typed, when it is near at all.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let longest_way = (typed.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != typed)
        .map(|candidate| (strsim::damerau_levenshtein(typed, candidate), candidate))
        .filter(|(way, candidate)| *way <= longest_way || continues(typed, candidate))
        .min_by(|(a, name_a), (b, name_b)| a.cmp(b).then(name_a.cmp(name_b)))
        .map(|(_, candidate)| candidate)
}

/// Typed only the beginning.
fn continues(typed: &str, candidate: &str) -> bool {
    typed.len() >= 3 && candidate.starts_with(typed)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_understood_and_guesses_are_not_made() {
        let hosts = ["web-1", "web-2", "mail"];
        assert_eq!(nearest("wbe-1", hosts), Some("web-1"));
        assert_eq!(nearest("web1", hosts), Some("web-1"));
        assert_eq!(nearest("mai", hosts), Some("mail"));
        assert_eq!(nearest("database", hosts), None);
        assert_eq!(nearest("web-1", ["web-1"]), None);
        assert_eq!(
            nearest(
                "web-1/shop-db/shp",
                ["web-1/shop-db/shop", "web-1/crm-db/crm"]
            ),
            Some("web-1/shop-db/shop")
        );
        assert_eq!(nearest("", hosts), None);
    }
}
