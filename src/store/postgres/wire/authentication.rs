//! Proves to the server who we are: a password in clear text, as MD5, or by SCRAM-SHA-256 (RFC 7677).

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::model::hex;

/// Rounds of the hash after which other tasks have their turn.
const ROUNDS_AT_ONCE: u32 = 1024;

/// The mechanism that is understood, and its header: no channel binding, no other identity.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
const GS2_HEADER: &str = "n,,";

type HmacSha256 = Hmac<Sha256>;

/// Returns the password of the options, which have no function for it; empty if there is none.
pub(super) fn password(options: &PgConnectOptions) -> String {
    // Their URL has the password in an encoded form. With some names it could not be made.
    let url = options.clone().host("localhost").username("user").to_url_lossy();
    let pair = format!("password={}", url.password().unwrap_or_default());
    form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, it)| it.into_owned())
        .unwrap_or_default()
}

/// Returns the answer to a question for MD5.
pub(super) fn md5_answer(user: &str, password: &str, salt: &[u8]) -> String {
    let inner = hex(&Md5::new().chain_update(password).chain_update(user).finalize());
    format!("md5{}", hex(&Md5::new().chain_update(inner).chain_update(salt).finalize()))
}

/// One exchange by SCRAM.
#[derive(Debug)]
pub(super) struct Scram {
    password: String,
    /// The first message of the client without its header.
    first: String,
    nonce: String,
    /// What the server has to prove; empty before it was asked.
    server_proof: Vec<u8>,
}

fn protocol(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("authentication by SCRAM: {what}"))
}

impl Scram {
    /// Begins with a nonce of this client.
    pub(super) fn new(password: &str) -> Result<Scram, sqlx::Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        Ok(Scram::with_nonce(password, Base64::encode_string(&random)))
    }

    fn with_nonce(password: &str, nonce: String) -> Scram {
        // As libpq does: what cannot be prepared is taken as it is.
        let password = stringprep::saslprep(password).map_or(password.to_owned(), Into::into);
        // The server takes the user from the startup message.
        Scram { password, first: format!("n=,r={nonce}"), nonce, server_proof: Vec::new() }
    }

    /// Returns the client's first message.
    pub(super) fn first_message(&self) -> String {
        format!("{GS2_HEADER}{}", self.first)
    }

    /// Returns the client's second message, which proves the password.
    pub(super) async fn second_message(&mut self, server: &str) -> Result<String, sqlx::Error> {
        let field = |name: &str| server.split(',').find_map(|field| field.strip_prefix(name));
        let (nonce, salt) = (field("r=").unwrap_or_default(), field("s=").unwrap_or_default());
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(protocol("the server repeats another nonce"));
        }
        let salt = Base64::decode_vec(salt).map_err(|_| protocol("unreadable salt"))?;
        let rounds = field("i=").and_then(|rounds| rounds.parse().ok()).filter(|it| *it > 0);
        let rounds: u32 = rounds.ok_or_else(|| protocol("no count of rounds"))?;

        let salted = salted(self.password.as_bytes(), &salt, rounds).await?;
        let client_key = mac(&salted, b"Client Key")?;
        let binding = Base64::encode_string(GS2_HEADER.as_bytes());
        let without_proof = format!("c={binding},r={nonce}");
        let all = format!("{},{server},{without_proof}", self.first);
        let signature = mac(&Sha256::digest(&client_key), all.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.server_proof = mac(&mac(&salted, b"Server Key")?, all.as_bytes())?;
        Ok(format!("{without_proof},p={}", Base64::encode_string(&proof)))
    }

    /// Checks that the server knows the password, too.
    pub(super) fn check(&self, server: &str) -> Result<(), sqlx::Error> {
        let proof = server.strip_prefix("v=").and_then(|proof| Base64::decode_vec(proof).ok());
        match proof {
            Some(proof) if !proof.is_empty() && proof == self.server_proof => Ok(()),
            _ => Err(protocol("the server does not know the password")),
        }
    }
}

fn mac(key: &[u8], text: &[u8]) -> Result<Vec<u8>, sqlx::Error> {
    let mac = HmacSha256::new_from_slice(key).map_err(|_| protocol("a key of wrong length"))?;
    Ok(mac.chain_update(text).finalize().into_bytes().to_vec())
}

/// The function `Hi` of RFC 5802.
async fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Result<Vec<u8>, sqlx::Error> {
    let keyed = HmacSha256::new_from_slice(password).map_err(|_| protocol("no password"))?;
    let first = keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes());
    let mut last = first.finalize().into_bytes();
    let mut sum = last;
    for round in 1..rounds {
        last = keyed.clone().chain_update(last).finalize().into_bytes();
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
        if round % ROUNDS_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(sum.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, whose messages name the user.
    #[tokio::test]
    async fn the_example_of_the_standard_is_answered_as_it_says() {
        let mut scram = Scram::with_nonce("pencil", "rOprNGfwEbeRWgbNEkqO".into());
        scram.first = "n=user,r=rOprNGfwEbeRWgbNEkqO".into();
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = scram.second_message(server).await.unwrap();
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        scram.check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        scram.check("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap_err();
        scram.second_message("r=another,s=AA==,i=1").await.unwrap_err();
    }

    #[test]
    fn a_password_is_taken_from_the_options_as_it_is() {
        for password in ["", "s3cret", "a/b?c#d@e:f%41+ \u{e9}"] {
            for user in ["jo", "jo@web", "a/b#c"] {
                let options = PgConnectOptions::new_without_pgpass().host("::1").username(user);
                let options = options.password(password);
                assert_eq!(super::password(&options), password);
                assert_eq!(super::password(&options.socket("/run/a b")), password);
            }
        }
    }

    #[test]
    fn the_answer_for_md5_is_that_of_the_protocol() {
        // By `md5sum`, of the one sum and then of the other.
        let answer = md5_answer("jo", "s3cret", &[1, 2, 3, 4]);
        assert_eq!(answer, "md5873b18e065d98676945d6936002be7dc");
    }
}
