// The metrics page, read as strictly as a scraper may: every sample below its own TYPE, every
// histogram cumulative; and the HTTP around it.
import Foundation
import Testing

@testable import Core

/// One metric of a page with its samples in their order.
private struct Metric {
  let name: String
  let type: String
  var samples: [(name: String, labels: String, value: Double)] = []

  func value(_ labels: String = "", suffix: String = "") -> Double? {
    samples.first { $0.name == name + suffix && $0.labels == labels }?.value
  }
}

private struct BadPage: Error { let line: String }

private func read(_ page: [UInt8]) throws -> [Metric] {
  var metrics: [Metric] = []
  var help = ""
  let lines = text(page).split(separator: "\n", omittingEmptySubsequences: false)
  #expect(lines.last == "", "the last line has an end")
  for line in lines.dropLast() {
    let words = line.split(separator: " ", maxSplits: 3).map(String.init)
    if line.hasPrefix("# HELP ") {
      guard words.count == 4 else { throw BadPage(line: String(line)) }
      help = words[2]
    } else if line.hasPrefix("# TYPE ") {
      guard words.count == 4, words[2] == help else { throw BadPage(line: String(line)) }
      metrics.append(Metric(name: words[2], type: words[3]))
    } else {
      try metrics[metrics.count - 1].samples.append(sample(String(line), metrics.last!))
    }
  }
  return metrics
}

private func sample(_ line: String, _ metric: Metric) throws -> (String, String, Double) {
  let pattern = /([a-z_]+)(?:\{(.*)\})? ([0-9.]+)/
  guard let match = try pattern.wholeMatch(in: line), let value = Double(match.3) else {
    throw BadPage(line: line)
  }
  let suffixes = metric.type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
  guard suffixes.contains(where: { metric.name + $0 == match.1 }) else {
    throw BadPage(line: line)
  }
  return (String(match.1), String(match.2 ?? ""), value)
}

private let first = #"target="db.example:5432",listen_port="5432""#
private let second = #"target="10.0.1.6:3306",listen_port="33060""#

struct MetricsPageTests {
  @Test func everyMetricIsThereOnceAndNamedByItsKind() throws {
    let metrics = try read(fullReport().metrics)
    let names = metrics.map { $0.name }
    #expect(Set(names).count == names.count)
    for metric in metrics {
      #expect((metric.type == "counter") == metric.name.hasSuffix("_total"), "\(metric.name)")
      #expect(!metric.samples.isEmpty, "\(metric.name)")
      let keys = metric.samples.map { $0.name + $0.labels }
      #expect(Set(keys).count == keys.count, "\(metric.name): a sample is there twice")
    }
  }

  @Test func everyNumberIsInItsPlace() throws {
    var report = fullReport()
    report.names.questions = 30
    report.names.resolved = 20
    report.names.notFound = 1
    report.names.withoutAddress = 2
    report.names.failed = 3
    report.names.changes = 4
    report.names.stale = 5
    let metrics = Dictionary(
      uniqueKeysWithValues: try read(report.metrics).map { ($0.name, $0) })
    let expected: [(String, String, Double)] = [
      ("sidecar_build_info", #"version="1.2.3""#, 1),
      ("process_start_time_seconds", "", 1_795_231_938.123), ("process_open_fds", "", 21),
      ("process_max_fds", "", 20_000), ("sidecar_log_lines_lost_total", "", 4),
      ("sidecar_connections_open", first, 3), ("sidecar_connections_accepted_total", first, 12),
      ("sidecar_connections_established_total", first, 10),
      ("sidecar_probes_absorbed_total", first, 2),
      ("sidecar_connections_failed_total", first + #",cause="refused""#, 0),
      ("sidecar_connections_failed_total", second + #",cause="refused""#, 1),
      ("sidecar_connections_failed_total", second + #",cause="system_error""#, 0),
      ("sidecar_connections_ended_total", first + #",ended_by="client",reason="closed""#, 6),
      ("sidecar_connections_ended_total", first + #",ended_by="target",reason="closed""#, 0),
      (
        "sidecar_connections_ended_total",
        first + #",ended_by="sidecar",reason="idle_timeout""#, 1
      ),
      ("sidecar_forwarded_bytes_total", first + #",direction="to_target""#, 1_536),
      ("sidecar_forwarded_bytes_total", first + #",direction="to_client""#, 244_318_208),
      ("sidecar_name_lookups_total", #"result="resolved""#, 20),
      ("sidecar_name_lookups_total", #"result="not_found""#, 1),
      ("sidecar_name_lookups_total", #"result="without_address""#, 2),
      ("sidecar_name_lookups_total", #"result="failed""#, 3),
      ("sidecar_name_questions_total", "", 30), ("sidecar_address_changes_total", "", 4),
      ("sidecar_stale_answers_total", "", 5), ("sidecar_connections_limit", "", 9_853),
      ("sidecar_pipes_open", "", 1), ("sidecar_pipes_limit", "", 256), ("sidecar_workers", "", 2),
    ]
    for (name, labels, value) in expected {
      #expect(metrics[name]?.value(labels) == value, "\(name){\(labels)}")
    }
  }

  @Test func histogramsAreCumulative() throws {
    for metric in try read(fullReport().metrics) where metric.type == "histogram" {
      for forward in [first, second] {
        let buckets = metric.samples.filter {
          $0.name.hasSuffix("_bucket") && $0.labels.hasPrefix(forward)
        }
        #expect(buckets.map { $0.value } == buckets.map { $0.value }.sorted())
        let bounds = buckets.map { bucket in
          String(bucket.labels.dropFirst(forward.count + 5).dropLast())
        }
        #expect(bounds.last == "+Inf")
        let numbers = bounds.dropLast().compactMap { Double($0) }
        #expect(numbers.count == bounds.count - 1 && numbers == numbers.sorted())
        #expect(buckets.last?.value == metric.value(forward, suffix: "_count"))
        #expect(metric.value(forward, suffix: "_sum") != nil)
      }
    }
  }

  @Test func aHistogramWordForWord() {
    let page = text(fullReport().metrics)
    let lines = page.split(separator: "\n").filter {
      $0.hasPrefix("sidecar_connection_duration_seconds") && $0.contains(first)
    }
    let name = "sidecar_connection_duration_seconds"
    let bounds = [
      ("0.01", 0), ("0.1", 0), ("1", 0), ("10", 6), ("60", 6), ("600", 6), ("3600", 6),
      ("21600", 6), ("86400", 6), ("+Inf", 7),
    ]
    let buckets = bounds.map { #"\#(name)_bucket{\#(first),le="\#($0.0)"} \#($0.1)"# }
    #expect(
      lines.map(String.init) == buckets + [
        "\(name)_sum{\(first)} 90018.000042", "\(name)_count{\(first)} 7",
      ])
  }

  @Test(arguments: [
    (0, "0.000000"), (1, "0.000001"), (99_999, "0.099999"), (100_000, "0.100000"),
    (12_000_340, "12.000340"),
  ])
  func aSumHasSixDecimals(microseconds: UInt64, expected: String) {
    var page = MetricsWriter()
    page.end(microseconds: microseconds)
    #expect(text(page.bytes) == " \(expected)\n")
  }

  @Test func asleepOnlyTheProcessIsTold() throws {
    let names = try read(emptyReport(.asleep).metrics).map { $0.name }
    #expect(
      names == [
        "sidecar_build_info", "process_start_time_seconds", "process_open_fds",
        "process_max_fds", "sidecar_log_lines_lost_total",
      ])
  }

  @Test func aVersionIsEscaped() throws {
    var report = emptyReport(.asleep)
    report.version = [UInt8]("a\"b\\c\nd\u{7f}é".utf8)
    #expect(text(report.metrics).contains(#"version="a\"b\\c?d???"} 1"#))
  }
}

struct HTTPRequestTests {
  private func judge(_ request: String) -> HTTPRequest.Verdict {
    HTTPRequest.judge([UInt8](request.utf8))
  }

  @Test(arguments: [
    ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", HTTPRequest.Verdict.metrics(withBody: true)),
    ("GET /metrics HTTP/1.0\n\n", .metrics(withBody: true)),
    ("GET /metrics?name[]=a HTTP/1.1\r\n\r\n", .metrics(withBody: true)),
    ("HEAD /metrics HTTP/1.1\r\n\r\n", .metrics(withBody: false)),
    ("GET / HTTP/1.1\r\n\r\n", .notFound), ("GET /metrics/ HTTP/1.1\r\n\r\n", .notFound),
    ("GET /METRICS HTTP/1.1\r\n\r\n", .notFound), ("HEAD / HTTP/1.1\r\n\r\n", .notFound),
    ("POST /metrics HTTP/1.1\r\n\r\nbody", .notAllowed),
    ("get /metrics HTTP/1.1\r\n\r\n", .notAllowed), ("\r\n\r\n", .bad), ("\n\n", .bad),
    ("GET /metrics\r\n\r\n", .bad), ("GET /metrics HTTP/2.0\r\n\r\n", .bad),
    ("GET  /metrics HTTP/1.1\r\n\r\n", .bad), ("GET /metrics HTTP/1.1 x\r\n\r\n", .bad),
    ("hello\r\n\r\n", .bad), ("\u{16}\u{3}\u{1}\n\n", .bad),
    ("GET /metrics HTTP/1.1\r\n", .incomplete),
    ("GET /metrics HTTP/1.1\r\nHost: a\r\n", .incomplete),
    ("", .incomplete), ("hello", .incomplete),
  ])
  func aRequestIsJudgedByItsFirstLine(request: String, verdict: HTTPRequest.Verdict) {
    #expect(judge(request) == verdict)
  }

  @Test(arguments: ["GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n", "GET / x\n\n"])
  func untilTheLastByteItIsIncomplete(request: String) {
    let bytes = [UInt8](request.utf8)
    for count in 0..<bytes.count {
      #expect(HTTPRequest.judge(Array(bytes[..<count])) == .incomplete)
    }
    #expect(HTTPRequest.judge(bytes) != .incomplete)
  }

  @Test func nobodyNeedsMoreThanFourKibibytes() {
    let start = [UInt8]("GET /".utf8)
    let line = start + [UInt8](repeating: UInt8(ascii: "a"), count: 1 << 20)
    #expect(HTTPRequest.judge(line) == .tooLong)
    #expect(HTTPRequest.judge(Array(line[..<HTTPRequest.maxBytes])) == .incomplete)
    #expect(HTTPRequest.judge(Array(line[...HTTPRequest.maxBytes])) == .tooLong)
  }

  private func respond(_ verdict: HTTPRequest.Verdict) -> (head: [String], body: String) {
    let response = text(HTTPRequest.response(to: verdict, page: [UInt8]("a 1\n".utf8)))
    let end = response.range(of: "\r\n\r\n")!
    return (
      response[..<end.lowerBound].components(separatedBy: "\r\n"),
      String(response[end.upperBound...])
    )
  }

  @Test func thePageComesWithItsLengthAndType() {
    let (head, body) = respond(.metrics(withBody: true))
    #expect(
      head == [
        "HTTP/1.1 200 OK", "Content-Type: text/plain; version=0.0.4; charset=utf-8",
        "Content-Length: 4", "Connection: close",
      ])
    #expect(body == "a 1\n")
    #expect(respond(.metrics(withBody: false)).head == head)
    #expect(respond(.metrics(withBody: false)).body == "")
  }

  @Test(arguments: [
    (HTTPRequest.Verdict.notFound, "HTTP/1.1 404 Not Found"),
    (.notAllowed, "HTTP/1.1 405 Method Not Allowed"), (.bad, "HTTP/1.1 400 Bad Request"),
    (.tooLong, "HTTP/1.1 431 Request Header Fields Too Large"),
  ])
  func aRefusalSaysWhy(verdict: HTTPRequest.Verdict, status: String) {
    let (head, body) = respond(verdict)
    #expect(head[0] == status)
    #expect(head.contains("Content-Length: \(body.utf8.count)") && !body.isEmpty)
    #expect(head.contains("Allow: GET, HEAD") == (verdict == .notAllowed))
  }
}
