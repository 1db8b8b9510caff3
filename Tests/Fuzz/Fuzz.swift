// Feeds whatever libFuzzer comes up with to everything that reads bytes from outside: answers of
// name servers, resolv.conf, /etc/hosts. Traps where a promise to the rest of the program is
// broken.
import Core

/// libFuzzer's loop (FuzzerMain.cpp, which SwiftPM's own `main` keeps out).
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

@c(Fuzz_main)
public func start(
  _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  var (count, arguments) = (count, arguments)
  return runDriver(&count, &arguments, testOneInput)
}

@c(LLVMFuzzerTestOneInput)
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
  let bytes = Array(UnsafeBufferPointer(start: start, count: count))
  asMessage(bytes)
  asRecords(bytes)
  asResolvConf(bytes)
  asHosts(bytes)
  return 0
}

/// The whole message, taken for the answer to the question that it repeats.
private func asMessage(_ bytes: [UInt8]) {
  guard bytes.count >= 2 else { return check(bytes, DNSQuestion(name: db, family: .ipv4), 0) }
  let id = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
  for question in questions(in: bytes) {
    check(bytes, question, id)
    let forged = readReply(bytes, to: question, id: ~id, byTCP: false)
    precondition(forged == .notOurs)
  }
}

private let db = [UInt8]("db.example")

/// The question that the message repeats, where it can be asked at all; and one that it may not.
private func questions(in bytes: [UInt8]) -> [DNSQuestion] {
  var name: [UInt8] = []
  var rest = bytes.dropFirst(12)
  while let length = rest.first, 1...63 ~= length, rest.count > length {
    if !name.isEmpty { name.append(UInt8(ascii: ".")) }
    name += rest.dropFirst().prefix(Int(length)).map(\.lowercasedASCII)
    rest = rest.dropFirst(1 + Int(length))
  }
  let family: Family = rest.dropFirst(2).first == 28 ? .ipv6 : .ipv4
  let usual = DNSQuestion(name: db, family: family)
  guard 1...253 ~= name.count, !name.split(separator: UInt8(ascii: ".")).isEmpty else {
    return [usual]
  }
  return [DNSQuestion(name: name, family: family), usual]
}

/// Behind a header and a question that are right: the first bytes are the response code and how
/// many records there are.
private func asRecords(_ bytes: [UInt8]) {
  guard bytes.count > 4 else { return }
  let question = DNSQuestion(name: db, family: bytes[0] & 0x10 == 0 ? .ipv4 : .ipv6)
  var message = question.message(id: 0, edns: false)
  message[2] = 0x81
  message[3] = 0x80 | bytes[0] & 0x0f
  message[7] = bytes[1]
  message[9] = bytes[2]
  message[11] = bytes[3]
  check(message + bytes.dropFirst(4), question, 0)
}

private func check(_ message: [UInt8], _ question: DNSQuestion, _ id: UInt16) {
  for byTCP in [false, true] {
    switch readReply(message, to: question, id: id, byTCP: byTCP) {
    case .addresses(let addresses, _):
      precondition(1...HostsFile.maxAddresses ~= addresses.count)
      for (index, address) in addresses.enumerated() {
        precondition(!address.isUnspecified && !address.isMulticast)
        precondition(!addresses[..<index].contains(address))
        precondition(question.family == .ipv6 || address.isIPv4)
      }
    case .truncated: precondition(!byTCP)
    case .notOurs, .noAddress, .noName, .fault: break
    }
  }
}

private func asResolvConf(_ bytes: [UInt8]) {
  let conf = ResolvConf(bytes, port: 53)
  precondition(1...ResolvConf.maxServers ~= conf.servers.count)
  precondition(conf.servers.allSatisfy { !$0.address.isMulticast && $0.port == 53 })
  precondition(0...15 ~= conf.ndots && 1...5 ~= conf.attempts)
  precondition(Nanoseconds.seconds(1) <= conf.timeout && conf.timeout <= .seconds(30))
  for isAbsolute in [false, true] {
    let candidates = conf.candidates(for: db, isAbsolute: isAbsolute)
    precondition(1...7 ~= candidates.count && candidates.contains(db))
    for candidate in candidates {
      let message = DNSQuestion(name: candidate, family: .ipv6).message(id: 0, edns: false)
      // Its labels, their lengths and the root's between the header, the type and the class.
      precondition(message.count == 12 + candidate.count + 2 + 4 && candidate.count <= 253)
    }
  }
}

private func asHosts(_ bytes: [UInt8]) {
  let hosts = HostsFile(bytes)
  for name in [db, [UInt8]("db"), [UInt8]("localhost")] {
    let addresses = hosts.addresses(of: name)
    precondition(addresses.count <= HostsFile.maxAddresses)
    for (index, address) in addresses.enumerated() {
      precondition(!addresses[..<index].contains(address))
    }
  }
}
