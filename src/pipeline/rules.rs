//! The conditions of `rules:if` and what they decide. Knows variables only by a look-up it is given;
//! never reads an environment.

use std::{iter::Peekable, vec::IntoIter};

use super::model::{AllowFailure, When};

/// One entry of `rules:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `if`; `None` always matches.
    pub condition: Option<Expression>,
    /// `when`; `None` is the job's.
    pub when: Option<When>,
    /// `allow_failure`; `None` is the job's.
    pub allow_failure: Option<AllowFailure>,
    /// Variables the job gets when this rule matches, unexpanded.
    pub variables: Vec<(String, String)>,
}

/// A parsed `rules:if`, in GitLab's grammar less its pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// The operand is set and not empty.
    Truthy(Operand),
    /// Both sides are the same; a variable that is not set equals `null` alone.
    Equal(Operand, Operand),
    /// The sides differ.
    NotEqual(Operand, Operand),
    /// Both hold. Binds tighter than `||`.
    And(Box<Expression>, Box<Expression>),
    /// One of them holds.
    Or(Box<Expression>, Box<Expression>),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// `$NAME`
    Variable(String),
    /// `"text"` or `'text'`; there are no escapes.
    Text(String),
    /// `null`
    Null,
}

/// Why an expression is not one this reader takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// GitLab knows it, we do not.
    #[error("the operator {operator} is not supported by `longshore local`")]
    UnsupportedOperator {
        /// The operator.
        operator: &'static str,
    },
    /// Something that begins no token.
    #[error("cannot read {rest:?}; a variable is $NAME, a text stands in quotes")]
    UnknownToken {
        /// The expression from there on.
        rest: String,
    },
    /// A quote without its partner.
    #[error("the quote before {rest:?} is never closed")]
    OpenQuote {
        /// What follows the quote.
        rest: String,
    },
    /// A token where another was due.
    #[error("{wanted} is missing {place}")]
    Missing {
        /// What was due.
        wanted: &'static str,
        /// "before .." or "at the end".
        place: String,
    },
    /// Parentheses without end.
    #[error("parentheses are nested more than {limit} deep")]
    TooDeep {
        /// How deep they may be.
        limit: usize,
    },
}

const MAX_DEPTH: usize = 32;

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ExpressionError`] where it is not one, or uses `=~` or `!~`.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let mut parser = Parser { tokens: tokens(text)?.into_iter().peekable(), depth: 0 };
        let expression = parser.any()?;
        match parser.tokens.next() {
            None => Ok(expression),
            Some(token) => Err(missing("an operator (==, !=, &&, ||)", Some(&token))),
        }
    }

    /// Whether it holds, with the variables `lookup` knows; `None` is one that is not set.
    pub fn holds(&self, lookup: impl Fn(&str) -> Option<String>) -> bool {
        self.holds_with(&lookup)
    }

    fn holds_with(&self, lookup: &dyn Fn(&str) -> Option<String>) -> bool {
        let value = |operand: &Operand| match operand {
            Operand::Variable(name) => lookup(name),
            Operand::Text(text) => Some(text.clone()),
            Operand::Null => None,
        };
        match self {
            Self::Truthy(operand) => value(operand).is_some_and(|text| !text.is_empty()),
            Self::Equal(left, right) => value(left) == value(right),
            Self::NotEqual(left, right) => value(left) != value(right),
            Self::And(left, right) => left.holds_with(lookup) && right.holds_with(lookup),
            Self::Or(left, right) => left.holds_with(lookup) || right.holds_with(lookup),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Operand(Operand),
    Sign(&'static str),
}

// Longer ones first where one begins another.
const SIGNS: [&str; 6] = ["==", "!=", "&&", "||", "(", ")"];
const UNSUPPORTED: [&str; 3] = ["=~", "!~", "!"];

fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (token, after) = token(rest)?;
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

fn token(rest: &str) -> Result<(Token, &str), ExpressionError> {
    let unknown = || ExpressionError::UnknownToken { rest: rest.to_owned() };
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        return Ok((Token::Sign(sign), &rest[sign.len()..]));
    }
    if let Some(operator) = UNSUPPORTED.into_iter().find(|sign| rest.starts_with(sign)) {
        return Err(ExpressionError::UnsupportedOperator { operator });
    }
    if let Some(quoted) = rest.strip_prefix(['"', '\'']) {
        let (text, after) = quoted
            .split_once(if rest.starts_with('"') { '"' } else { '\'' })
            .ok_or_else(|| ExpressionError::OpenQuote { rest: quoted.to_owned() })?;
        return Ok((Token::Operand(Operand::Text(text.to_owned())), after));
    }
    let (word, after) = word(rest.strip_prefix('$').unwrap_or(rest));
    match word {
        "" => Err(unknown()),
        name if rest.starts_with('$') => {
            Ok((Token::Operand(Operand::Variable(name.to_owned())), after))
        }
        "null" => Ok((Token::Operand(Operand::Null), after)),
        _ => Err(unknown()),
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn missing(wanted: &'static str, found: Option<&Token>) -> ExpressionError {
    let place = match found {
        None => "at the end".to_owned(),
        Some(Token::Sign(sign)) => format!("before {sign}"),
        Some(Token::Operand(Operand::Variable(name))) => format!("before ${name}"),
        Some(Token::Operand(Operand::Text(text))) => format!("before {text:?}"),
        Some(Token::Operand(Operand::Null)) => "before null".to_owned(),
    };
    ExpressionError::Missing { wanted, place }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression, ExpressionError> {
        let mut left = self.all()?;
        while self.take("||") {
            left = Expression::Or(Box::new(left), Box::new(self.all()?));
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Expression, ExpressionError> {
        let mut left = self.one()?;
        while self.take("&&") {
            left = Expression::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Expression, ExpressionError> {
        if self.take("(") {
            return self.group();
        }
        let left = self.operand()?;
        if self.take("==") {
            Ok(Expression::Equal(left, self.operand()?))
        } else if self.take("!=") {
            Ok(Expression::NotEqual(left, self.operand()?))
        } else {
            Ok(Expression::Truthy(left))
        }
    }

    fn group(&mut self) -> Result<Expression, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpressionError::TooDeep { limit: MAX_DEPTH });
        }
        let inner = self.any()?;
        self.depth -= 1;
        if self.take(")") { Ok(inner) } else { Err(missing("a )", self.tokens.peek())) }
    }

    fn operand(&mut self) -> Result<Operand, ExpressionError> {
        match self.tokens.next() {
            Some(Token::Operand(operand)) => Ok(operand),
            other => Err(missing("a variable, a text or null", other.as_ref())),
        }
    }

    fn take(&mut self, sign: &'static str) -> bool {
        self.tokens.next_if(|token| *token == Token::Sign(sign)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" | "SAME" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn conditions_hold_as_in_gitlab() {
        for (text, expected) in [
            ("$A", true),
            ("$EMPTY", false),
            ("$UNSET", false),
            ("null", false),
            (r#"$A == "a""#, true),
            (r"$A == 'a'", true),
            (r#""a"==$A"#, true),
            (r#"$A == "b""#, false),
            (r#"$A != "b""#, true),
            ("$A == $SAME", true),
            ("$A != $SAME", false),
            ("$UNSET == null", true),
            ("$EMPTY == null", false),
            ("$EMPTY != null", true),
            (r#"$EMPTY == """#, true),
            (r#"$UNSET == """#, false),
            ("$UNSET == $UNKNOWN", true),
            ("$A && $SAME", true),
            ("$A && $EMPTY", false),
            ("$EMPTY || $A", true),
            ("$EMPTY || $UNSET", false),
            ("$A || $A && $EMPTY", true),
            ("($A || $A) && $EMPTY", false),
            (r#"$A == "b" && $A || $SAME == 'a'"#, true),
            (r#"$A == "it's""#, false),
        ] {
            let expression = Expression::parse(text).unwrap();
            assert_eq!(expression.holds(lookup), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for (text, expected) in [
            ("$A =~ /x/", "the operator =~ is not supported by `longshore local`"),
            ("$A !~ /x/", "the operator !~ is not supported by `longshore local`"),
            ("!$A", "the operator ! is not supported by `longshore local`"),
            ("", "a variable, a text or null is missing at the end"),
            ("$A ==", "a variable, a text or null is missing at the end"),
            ("== $A", "a variable, a text or null is missing before =="),
            ("$A && && $A", "a variable, a text or null is missing before &&"),
            ("($A", "a ) is missing at the end"),
            ("$A)", "an operator (==, !=, &&, ||) is missing before )"),
            ("$A $B", "an operator (==, !=, &&, ||) is missing before $B"),
            ("$A 'x'", "an operator (==, !=, &&, ||) is missing before \"x\""),
            ("$A null", "an operator (==, !=, &&, ||) is missing before null"),
            ("$A == 'b", "the quote before \"b\" is never closed"),
            ("$A == b", "cannot read \"b\"; a variable is $NAME, a text stands in quotes"),
            ("${A}", "cannot read \"${A}\"; a variable is $NAME, a text stands in quotes"),
            ("$A = 'b'", "cannot read \"= 'b'\"; a variable is $NAME, a text stands in quotes"),
        ] {
            assert_eq!(Expression::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
        let deep = "(".repeat(100_000);
        assert_eq!(
            Expression::parse(&deep).unwrap_err().to_string(),
            "parentheses are nested more than 32 deep"
        );
    }
}
