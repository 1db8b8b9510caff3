// Every report of names and name servers, word for word, in both forms.
import Foundation
import Testing

@testable import Core

private let name = [UInt8]("db.example")
private let addresses = [ipv4(0x0a00_0105), ipv6(1)]
private let server = Endpoint(address: ipv4(0x0a00_0002), port: 53)
private let server6 = Endpoint(address: ipv6(0x53), port: 53)

struct NameReportsTests {
  private func expect(
    _ level: String, _ message: String, text: String, json: String,
    at location: SourceLocation = #_sourceLocation, _ fill: (inout LogLine) -> Void
  ) {
    let time = "2026-11-21T03:32:18.123Z"
    let padded = level.padding(toLength: 5, withPad: " ", startingAt: 0)
    #expect(
      logLine(.text, fill) == "\(time) \(padded) \(message)\(text)\n", sourceLocation: location)
    let start = #"{"time":"\#(time)","level":"\#(level)","message":"\#(message)""#
    #expect(logLine(.json, fill) == "\(start)\(json)}\n", sourceLocation: location)
  }

  // MARK: Answers

  @Test(
    arguments: [
      (
        .addresses(addresses, ttl: 5), "answer=10.0.1.5,2001:db8::1 ttl=5",
        #""answer":"10.0.1.5,2001:db8::1","ttl":5"#
      ),
      (
        .addresses([ipv4(1)], ttl: .max), "answer=0.0.0.1 ttl=4294967295",
        #""answer":"0.0.0.1","ttl":4294967295"#
      ),
      (.noAddress(ttl: 60), "answer=NODATA ttl=60", #""answer":"NODATA","ttl":60"#),
      (.noAddress(ttl: nil), "answer=NODATA", #""answer":"NODATA""#),
      (.noName(ttl: 0), "answer=NXDOMAIN ttl=0", #""answer":"NXDOMAIN","ttl":0"#),
      (.noName(ttl: nil), "answer=NXDOMAIN", #""answer":"NXDOMAIN""#),
      (.notOurs, "answer=ignored", #""answer":"ignored""#),
      (.truncated, "answer=truncated", #""answer":"truncated""#),
      (.fault(.refused), "answer=REFUSED", #""answer":"REFUSED""#),
      (.fault(.notRecursive), #"answer="not recursive""#, #""answer":"not recursive""#),
    ] as [(DNSReply, String, String)])
  func whatANameServerAnswered(reply: DNSReply, text: String, json: String) {
    expect(
      "debug", "name server answered",
      text: " name=db.example type=AAAA server=10.0.0.2:53 \(text) after_ms=1.234",
      json: #","name":"db.example","type":"AAAA","server":"10.0.0.2:53",\#(json)"#
        + #","after_ms":1.234"#
    ) {
      $0.nameServerAnswered(
        name: name, family: .ipv6, server: server, reply: reply,
        after: Nanoseconds(count: 1_234_000), at: logTime)
    }
  }

  @Test func theTypeIsTheFamilys() {
    let line = logLine(.text) {
      $0.nameServerAnswered(
        name: name, family: .ipv4, server: server6, reply: .notOurs, after: .zero, at: logTime)
    }
    #expect(line.contains(" type=A server=[2001:db8::53]:53 answer=ignored after_ms=0.000\n"))
  }

  @Test(
    arguments: [
      (.formatError, "FORMERR"), (.serverFailure, "SERVFAIL"), (.notImplemented, "NOTIMP"),
      (.refused, "REFUSED"), (.code(16), "RCODE16"), (.code(4095), "RCODE4095"),
      (.notRecursive, "not recursive"), (.malformed, "malformed"),
    ] as [(ServerFault, String)])
  func aFaultHasTheNameThatDigPrints(fault: ServerFault, name: String) {
    var bytes: [UInt8] = []
    bytes.append(fault)
    #expect(text(bytes) == name)
  }

  @Test(
    arguments: [
      (.notAsked, "not asked"), (.noAnswer, "no answer"), (.noDescriptors, "no descriptors here"),
      (.unreachable, "unreachable"), (.brokenOff, "broke off"), (.fault(.refused), "REFUSED"),
      (.noName, "NXDOMAIN"), (.noAddress, "NODATA"), (.answered, "answered"),
    ] as [(ServerWord, String)])
  func aServersWordIsForPeople(word: ServerWord, name: String) {
    var bytes: [UInt8] = []
    bytes.append(word)
    #expect(text(bytes) == name)
  }

  // MARK: What changes

  @Test func aNameThatIsResolvedForTheFirstTime() {
    expect(
      "info", "name resolved", text: " name=db.example addresses=10.0.1.5,2001:db8::1",
      json: #","name":"db.example","addresses":"10.0.1.5,2001:db8::1""#
    ) { $0.addressesChanged(name: name, from: [], to: addresses, unsaid: 0, at: logTime) }
  }

  @Test func addressesThatChange() {
    expect(
      "info", "addresses changed",
      text: " name=db.example addresses=10.0.1.6 before=10.0.1.5,2001:db8::1",
      json: #","name":"db.example","addresses":"10.0.1.6","before":"10.0.1.5,2001:db8::1""#
    ) {
      $0.addressesChanged(
        name: name, from: addresses, to: [ipv4(0x0a00_0106)], unsaid: 0, at: logTime)
    }
  }

  @Test func addressesThatChangedMoreOftenThanIsSaid() {
    expect(
      "info", "addresses changed",
      text: " name=db.example addresses=10.0.1.6 before=10.0.1.5 unsaid=7",
      json: #","name":"db.example","addresses":"10.0.1.6","before":"10.0.1.5","unsaid":7"#
    ) {
      $0.addressesChanged(
        name: name, from: [addresses[0]], to: [ipv4(0x0a00_0106)], unsaid: 7, at: logTime)
    }
  }

  // MARK: Name servers that do not answer

  private static let words: [(server: Endpoint, word: ServerWord)] = [
    (server, .noAnswer), (server6, .fault(.serverFailure)),
  ]

  @Test func aStaleAnswerThatStandsIn() {
    expect(
      "warn", "no name server answers: the last good addresses are used",
      text: #" name=db.example servers="10.0.0.2:53 no answer, [2001:db8::53]:53 SERVFAIL""#
        + " age_ms=61000.000",
      json: #","name":"db.example","#
        + #""servers":"10.0.0.2:53 no answer, [2001:db8::53]:53 SERVFAIL","age_ms":61000.000"#
    ) {
      $0.staleAnswerUsed(name: name, age: .seconds(61), words: Self.words, at: logTime)
    }
  }

  @Test func nameServersThatAnswerAgain() {
    expect(
      "info", "name servers answer again", text: " name=db.example", json: #","name":"db.example""#
    ) { $0.nameServersRecovered(name: name, at: logTime) }
  }

  @Test func aLookupThatFails() {
    expect(
      "warn", "name lookup failed",
      text: " name=db.example cause=name_servers_failed"
        + #" servers="10.0.0.2:53 no answer, [2001:db8::53]:53 SERVFAIL""#,
      json: #","name":"db.example","cause":"name_servers_failed""#
        + #","servers":"10.0.0.2:53 no answer, [2001:db8::53]:53 SERVFAIL""#
    ) {
      $0.lookupFailed(
        name: name, failure: .nameServersFailed, words: Self.words, repeated: 0, at: logTime)
    }
  }

  @Test func aLookupThatFailsAgainAndAgain() {
    expect(
      "warn", "name lookup failed",
      text: #" name=db.example cause=name_not_found servers="10.0.0.2:53 NXDOMAIN" repeated=41"#,
      json: #","name":"db.example","cause":"name_not_found","servers":"10.0.0.2:53 NXDOMAIN""#
        + #","repeated":41"#
    ) {
      $0.lookupFailed(
        name: name, failure: .nameNotFound, words: [(server, .noName)], repeated: 41, at: logTime)
    }
  }

  // MARK: resolv.conf

  @Test func entriesOfResolvConfThatCannotBeUsed() {
    expect(
      "warn", "resolv.conf has entries that cannot be used",
      text: " file=/etc/resolv.conf ignored=3", json: #","file":"/etc/resolv.conf","ignored":3"#
    ) {
      $0.resolvConfIgnored(path: [UInt8]("/etc/resolv.conf"), ignored: 3, at: logTime)
    }
  }

  @Test func aResolvConfThatCannotBeRead() {
    expect(
      "warn", "resolv.conf cannot be read: the name server on 127.0.0.1 is asked",
      text: " file=/etc/resolv.conf", json: #","file":"/etc/resolv.conf""#
    ) { $0.resolvConfMissing(path: [UInt8]("/etc/resolv.conf"), at: logTime) }
  }

  @Test(arguments: [LogFormat.text, .json]) func nothingInANameBreaksTheLine(format: LogFormat) {
    let evil = [UInt8](#"x" level="error\#n{"}"#.utf8) + [0, 0xff]
    let line = logLine(format) {
      $0.addressesChanged(name: evil, from: [], to: [ipv4(1)], unsaid: 0, at: logTime)
    }
    #expect(line.filter { $0 == "\n" }.count == 1 && line.last == "\n")
    #expect(line.utf8.dropLast().allSatisfy { 0x20...0x7e ~= $0 })
  }

  /// 32 addresses before and after: more than a line holds, so that what comes last is left out.
  @Test func theLongestListsAreCutLikeAnythingElse() throws {
    let many = (0..<32).map { IPAddress(high: 0x2001_0db8_1111_2222, low: .max - $0) }
    let lines = [LogFormat.text, .json].map { format in
      logLine(format) {
        $0.addressesChanged(name: name, from: many, to: many, unsaid: 7, at: logTime)
      }
    }
    for line in lines {
      #expect(line.utf8.count <= LogLine.limit && line.last == "\n")
      #expect(line.contains("2001:db8:1111:2222:ffff:ffff:ffff:ffff,"))
    }
    let fields = try JSONSerialization.jsonObject(with: Data(lines[1].utf8)) as? [String: Any]
    #expect(fields?["truncated"] as? Bool == true)
  }
}
