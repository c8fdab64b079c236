//! What the lines of a file are to be in the store, in the form in which the store tells them.

use std::net::IpAddr;

use serde_json::Value;

use crate::model::{Batch, Field, RequestLog, Tuples};
use crate::store::{StoredLine, StoredRequest, StoredRow};

/// Rows and rejects of a batch with their offsets, in that order.
pub(crate) fn expected(batch: &Batch) -> Vec<(u64, StoredLine)> {
    let rows = batch.gunicorn_log.rows().filter_map(|row| row_of(&row));
    let rejects = batch.rejected_line.rows().filter_map(|row| reject_of(&row));
    let requests = batch.request_log.rows().filter_map(|row| request_of(&row));
    let mut lines: Vec<_> = rows.chain(requests).chain(rejects).collect();
    lines.sort_by_key(|(offset, _)| *offset);
    lines
}

/// The columns of [`Batch::GUNICORN_LOG`].
fn row_of(row: &[Field<'_>]) -> Option<(u64, StoredLine)> {
    let &[
        _id,
        timestamp,
        log_offset,
        duration,
        response_bytes,
        _log_file,
        code,
        pid,
        method,
        url,
        host,
        user_id,
        user_ip,
        agent,
        source,
        protocol,
        request,
        response,
        headers,
    ] = row
    else {
        return None;
    };
    let offset = u64::try_from(int8(log_offset)?).ok()?;
    let row = StoredRow {
        log_offset: offset,
        timestamp: Tuples::micros(timestamp?)?,
        method: text(method),
        url: text(url),
        host: text(host),
        user_id: text(user_id),
        user_ip: user_ip.and_then(address),
        agent: text(agent),
        source: text(source),
        protocol: text(protocol),
        request: json(request),
        response: json(response),
        headers: json(headers),
        duration: int8(duration),
        code: int4(code),
        response_bytes: int8(response_bytes),
        pid: int4(pid),
    };
    Some((offset, StoredLine::Row(Box::new(row))))
}

/// The columns of [`Batch::REQUEST_LOG`].
fn request_of(row: &[Field<'_>]) -> Option<(u64, StoredLine)> {
    let &[
        _id,
        timestamp,
        log_offset,
        response_time_ms,
        _log_file,
        status_code,
        method,
        path,
        query_params,
        headers,
        body,
        content_type,
        response_headers,
        response_body,
        ip_address,
        user_id,
        user_agent,
        session_id,
        extra_data,
    ] = row
    else {
        return None;
    };
    let offset = u64::try_from(int8(log_offset)?).ok()?;
    let line = RequestLog {
        timestamp: Tuples::micros(timestamp?)?,
        response_time_ms: float8(response_time_ms),
        status_code: int4(status_code),
        method: text(method),
        path: text(path),
        query_params: text(query_params),
        headers: json(headers),
        body: text(body),
        content_type: text(content_type),
        response_headers: json(response_headers),
        response_body: text(response_body),
        ip_address: ip_address.and_then(address),
        user_id: text(user_id),
        user_agent: text(user_agent),
        session_id: text(session_id),
        extra_data: json(extra_data),
    };
    Some((offset, StoredLine::Request(Box::new(StoredRequest { log_offset: offset, line }))))
}

/// The columns of [`Batch::REJECTED_LINE`].
fn reject_of(row: &[Field<'_>]) -> Option<(u64, StoredLine)> {
    let &[log_offset, _rejected_at, _log_file, reason, raw] = row else { return None };
    let reject = StoredLine::Reject { reason: text(reason)?, raw: raw?.to_vec() };
    Some((u64::try_from(int8(log_offset)?).ok()?, reject))
}

fn int8(field: Field<'_>) -> Option<i64> {
    Some(i64::from_be_bytes(field?.try_into().ok()?))
}

fn int4(field: Field<'_>) -> Option<i32> {
    Some(i32::from_be_bytes(field?.try_into().ok()?))
}

fn float8(field: Field<'_>) -> Option<f64> {
    Some(f64::from_be_bytes(field?.try_into().ok()?))
}

fn text(field: Field<'_>) -> Option<String> {
    Some(String::from_utf8_lossy(field?).into_owned())
}

fn json(field: Field<'_>) -> Option<Value> {
    serde_json::from_slice(field?.get(1..)?).ok()
}

fn address(field: &[u8]) -> Option<IpAddr> {
    let bytes = field.get(4..)?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
