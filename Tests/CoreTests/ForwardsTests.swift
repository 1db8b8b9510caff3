import Core
import Testing

@Test func forwardsAreAListInItsOrder() throws {
  let list = "5432=writer.example:5432,5433=[2001:db8::1]:5432,1=10.0.0.1:65535"
  let settings = try parse(["FORWARDS": list])
  #expect(
    settings.forwards == [
      forward(5432, "writer.example", .name([UInt8]("writer.example")), 5432),
      forward(
        5433, "2001:db8::1", .address(IPAddress(high: 0x2001_0db8_0000_0000, low: 1)), 5432),
      forward(1, "10.0.0.1", .address(ipv4(0x0a00_0001)), 65535),
    ])
  let written = settings.forwards.map { forward in
    var bytes: [UInt8] = []
    bytes.append(decimal: UInt64(forward.listenPort))
    bytes.append("=")
    bytes.append(forward.target)
    return text(bytes)
  }
  #expect(written.joined(separator: ",") == list)
}

private let ports = " with ports from 1 to 65535, in digits, without sign or leading zeros"
private let lengths = ": a name has at most 253 characters, and 1 to 63 before each dot"
private let letters = ": a name has only letters, digits, hyphens, underscores and dots"

@Test(arguments: [
  ("", ", not an empty entry: remove the comma"), ("5432", ", such as 5432=db.example:5432"),
  ("db:5432", ", such as 5432=db.example:5432"), ("5432=", " with a port after HOST"),
  ("5432=db", " with a port after HOST"), ("5432=[::1]", " with a port after HOST"),
  ("5432=db:", ports), ("5432=:5432", lengths),
  ("0=db:1", ports), ("65536=db:1", ports), ("5432=db:0", ports), ("5432=db:x", ports),
  ("5432=db:18446744073709551617", ports), ("05432=db:1", ports + ": write 5432=db:1"),
  ("5432=db:+1", ports + ": write 5432=db:1"),
  ("5432=2001:db8::1", " with an IPv6 address in brackets"),
  ("5432=mysql://db:3306", " without a scheme: write 5432=db:3306"),
  ("5432=mysql://[::1]:3306", " without a scheme: write 5432=[::1]:3306"),
  ("5432=0.0.0.0:1", ", not 0.0.0.0 or ::, which are for listening only"),
  ("5432=d*b:1", letters), ("5432=[db]:1", " with brackets around an IPv6 address only"),
])
func anEntryIsNamedInItsFault(entry: String, reason: String) {
  let line = " \"\(entry)\": expected LISTEN=HOST:PORT\(reason)"
  #expect(complaints(about: ["FORWARDS": "1=a:1,\(entry)"]) == ["FORWARDS entry 2\(line)"])
  #expect(complaints(about: ["FORWARDS": "\(entry),1=a:1"]) == ["FORWARDS entry 1\(line)"])
}

@Test(arguments: [
  (
    "1=a:1, 2=b:2",
    "FORWARDS entry 2 \" 2=b:2\": expected LISTEN=HOST:PORT without spaces: write 2=b:2"
  ),
  (
    "2=db:3306/x",
    "FORWARDS entry 1 \"2=db:3306...\": expected LISTEN=HOST:PORT without a path: write 2=db:3306"
  ),
  ("u:p@a=b:1", "FORWARDS: expected LISTEN=HOST:PORT entries without passwords or parameters"),
  (",", "FORWARDS entry 1 \"\": expected LISTEN=HOST:PORT, not an empty entry: remove the comma"),
])
func otherFaultsOfAList(list: String, line: String) {
  #expect(complaints(about: ["FORWARDS": list]).first == line)
}

@Test func everyWrongEntryIsReported() {
  let lines = complaints(about: ["FORWARDS": "1=a:1,2=b,,1=c:1,3=d:0"])
  let starts = lines.map { $0.prefix(while: { $0 != "\"" }) }
  #expect(
    starts == ["FORWARDS entry 2 ", "FORWARDS entry 3 ", "FORWARDS entry 4 ", "FORWARDS entry 5 "])
  #expect(
    lines.dropFirst(2).first
      == "FORWARDS entry 4 \"1=c:1\": expected LISTEN=HOST:PORT with another LISTEN port: "
      + "an earlier entry has this one"
  )
}

@Test func forwardsStandAlone() {
  #expect(
    complaints(about: ["FORWARDS": "1=a:1", "TARGET_PORT": "1"]) == [
      "FORWARDS: expected without the variables for a single forward: "
        + "remove TARGET_PORT, or FORWARDS"
    ])
  let lines = complaints(about: proxy(["FORWARDS": "1=a:1", "LISTEN_PORT": "0"]))
  #expect(lines.count == 2)
  #expect(lines.first?.hasPrefix("LISTEN_PORT=\"0\": ") == true)
  let advice = "remove LISTEN_PORT and TARGET_HOST and TARGET_PORT, or FORWARDS"
  #expect(lines.last?.hasSuffix(advice) == true)
  #expect(complaints(about: proxy(["MODE": "sleep", "FORWARDS": "1=a:1"])).count == 1)
}

@Test func sixtyFourForwardsAreTheMost() throws {
  let entries = (1...65).map { "\($0)=a:1" }
  #expect(
    try parse(["FORWARDS": entries.dropLast().joined(separator: ",")]).forwards.count == 64)
  #expect(
    complaints(about: ["FORWARDS": entries.joined(separator: ",")]) == [
      "FORWARDS: expected no more entries than 64"
    ])
}

@Test func forwardsToEachOtherAreALoop() {
  #expect(
    complaints(about: ["FORWARDS": "1=localhost:2,2=db:1,3=[::1]:1"]) == [
      "FORWARDS entry 1 \"1=localhost:2\": expected a target other than this program, "
        + "which listens on port 2",
      "FORWARDS entry 3 \"3=[::1]:1\": expected a target other than this program, "
        + "which listens on port 1",
    ])
}

@Test(arguments: 0..<40) func noBytesTrapTheSettingsParser(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  let alphabets = [
    "0123456789", "0123456789=:,.[]db", "abc.:/@%[]= 1\n", "proxysleINFOd0159smh",
    "1=a:1,[::1]:2,", "\0\u{ff}é\"\\",
  ]
  for _ in 0..<300 {
    do {
      let settings = try Settings.parse { _ in
        guard Bool.random(using: &random) else { return nil }
        let alphabet = alphabets.randomElement(using: &random)!
        return random.bytes(from: alphabet, count: 0...40)
      }
      #expect(settings.forwards.allSatisfy { $0.listenPort > 0 && $0.target.port > 0 })
    } catch {
      #expect(!error.faults.isEmpty)
      for fault in error.faults {
        #expect(fault.line.allSatisfy { 0x20...0x7e ~= $0 })
        #expect(fault.line.count < 1000)
      }
    }
  }
}

@Test(arguments: 0..<20) func aForwardReadsBackAsItWasWritten(seed: UInt64) throws {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<300 {
    let list = (1...Int.random(in: 1...4, using: &random)).map { index in
      let host = random.bytes(from: "abcxyz.:-_[]0123456789", count: 1...12)
      return "\(index)=\(String(decoding: host, as: UTF8.self)):\(index)"
    }
    guard let settings = try? parse(["FORWARDS": list.joined(separator: ",")]) else { continue }
    #expect(settings.forwards.count == list.count)
    for (entry, forward) in zip(list, settings.forwards) {
      var written: [UInt8] = []
      written.append(decimal: UInt64(forward.listenPort))
      written.append("=")
      written.append(forward.target)
      #expect(text(written) == entry)
    }
  }
}
