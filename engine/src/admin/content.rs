//! The content of a message on its way to an operator: a piece at a time, whatever its size.

use std::io;

use actix_web::{HttpResponse, web::Bytes};
use futures_util::stream::try_unfold;
use relais_channels::mail::Content;
use tokio::{
    fs::File,
    io::{AsyncReadExt, Take},
};

use super::console::{Answer, Unavailable};

/// Its octets as they are: header, blank line, body, lines ended by CRLF. Of a file that becomes
/// unreadable half-way the last chunk is missing, so that the client knows.
pub(super) async fn respond(content: Content) -> Answer<HttpResponse> {
    let mut response = HttpResponse::Ok();
    response.content_type(MESSAGE);
    match content {
        Content::Whole(octets) => Ok(response.body(octets)),
        Content::File { path, size } => {
            let open = File::open(&path).await;
            let file = open.map_err(|error| Unavailable(format!("{}: {error}", path.display())))?;
            let pieces = try_unfold(file.take(size), async |mut file| {
                piece(&mut file).await.map(|piece| piece.map(|piece| (piece, file)))
            });
            Ok(response.streaming(pieces))
        }
    }
}

async fn piece(file: &mut Take<File>) -> io::Result<Option<Bytes>> {
    let mut octets = Vec::with_capacity(PIECE);
    let read = file.read_buf(&mut octets).await?;
    Ok((read > 0).then(|| octets.into()))
}

/// RFC 2046 section 5.2.1.
const MESSAGE: &str = "message/rfc822";
/// Octets in memory at once for each reader.
const PIECE: usize = 64 << 10;
