//! The words and signs of nginx's configuration.

/// A word, or a sign.
pub(super) enum Token {
    Word(String),
    /// `{`
    Open,
    /// `}`
    Close,
    /// `;`
    End,
}

/// The words of a text: `ngx_conf_read_token()`.
pub(super) struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self(text)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        loop {
            self.0 = self.0.trim_start();
            let Some(comment) = self.0.strip_prefix('#') else {
                break;
            };
            self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let first = self.0.chars().next()?;
        let sign = match first {
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            ';' => Some(Token::End),
            _ => None,
        };
        if sign.is_some() {
            self.advance(1);
            return sign;
        }
        Some(Token::Word(match first {
            '"' | '\'' => self.quoted(first),
            _ => self.plain(),
        }))
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut word = String::new();
        let mut rest = self.0.chars();
        rest.next();
        while let Some(c) = rest.next() {
            match c {
                '\\' => word.extend(rest.next()),
                c if c == quote => break,
                c => word.push(c),
            }
        }
        self.0 = rest.as_str();
        word
    }

    fn plain(&mut self) -> String {
        let mut word = String::new();
        let mut rest = self.0.chars();
        let mut ahead = rest.clone();
        while let Some(c) = ahead.next() {
            match c {
                '\\' => word.extend(ahead.next()),
                // `${name}` is part of the word.
                '{' if word.ends_with('$') => word.push(c),
                ';' | '{' => break,
                c if c.is_whitespace() => break,
                c => word.push(c),
            }
            rest = ahead.clone();
        }
        self.0 = rest.as_str();
        word
    }

    /// Past a block of another language, whose braces are balanced.
    pub(super) fn skip_block(&mut self) {
        let mut depth = 1_usize;
        let mut rest = self.0.chars();
        for c in rest.by_ref() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        self.0 = rest.as_str();
    }

    fn advance(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }
}
