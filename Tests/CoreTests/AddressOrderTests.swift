// The order in which the addresses of a name are tried.
import Testing

@testable import Core

private let start = Instant(nanoseconds: 1_000_000_000_000)
private let a = (0...9).map { ipv4(0x0a00_0000 + $0) }
private let aaaa = (0...9).map { ipv6($0) }

private func order(
  _ addresses: [IPAddress], isListed: Bool = false, rotation: Int = 0,
  failed: [IPAddress] = [], after: Nanoseconds = .zero
) -> [IPAddress] {
  var penalties = AddressPenalties()
  for address in failed { penalties.add(address, now: start) }
  return raceOrder(
    addresses, isListed: isListed, rotation: rotation, penalties: penalties, now: start + after)
}

struct AddressOrderTests {
  @Test func theFamiliesTakeTurns() {
    #expect(
      order([a[1], a[2], a[3], aaaa[1], aaaa[2]]) == [aaaa[1], a[1], aaaa[2], a[2], a[3]])
    #expect(order([aaaa[1], aaaa[2], a[1]]) == [aaaa[1], a[1], aaaa[2]])
    #expect(order([a[1], a[2]]) == [a[1], a[2]])
  }

  @Test func nothingAndOneStayAsTheyAre() {
    #expect(order([]) == [])
    for rotation in 0..<4 { #expect(order([a[1]], rotation: rotation) == [a[1]]) }
    #expect(order([a[1]], failed: [a[1]]) == [a[1]])
  }

  @Test(arguments: 1...7, 0...7)
  func rotationSpreadsTheLoadEvenly(ipv4Count: Int, ipv6Count: Int) {
    let addresses = Array(a[..<ipv4Count] + aaaa[..<ipv6Count])
    let turns = ipv4Count * max(1, ipv6Count)
    var first: [Int] = Array(repeating: 0, count: addresses.count)
    var firstIPv4 = first
    for rotation in 0..<turns {
      let ordered = order(addresses, rotation: rotation)
      #expect(ordered.count == addresses.count)
      #expect(addresses.allSatisfy { ordered.contains($0) })
      first[addresses.firstIndex(of: ordered[0])!] += 1
      firstIPv4[addresses.firstIndex(of: ordered.first { $0.isIPv4 }!)!] += 1
    }
    #expect(firstIPv4[..<ipv4Count].allSatisfy { $0 == turns / ipv4Count })
    #expect(
      first[ipv4Count...].allSatisfy { $0 == turns / ipv6Count },
      "IPv6 comes first where there is any")
  }

  @Test func whatAPersonListedStaysInOrder() {
    let listed = [a[3], aaaa[1], a[1], a[2]]
    for rotation in 0..<5 { #expect(order(listed, isListed: true, rotation: rotation) == listed) }
  }

  @Test func whatFailedLatelyGoesToTheBack() {
    let failed = [aaaa[1], a[1]]
    let addresses = [a[1], a[2], aaaa[1], aaaa[2]]
    #expect(order(addresses, failed: failed) == [aaaa[2], a[2], aaaa[1], a[1]])
    #expect(order(addresses, isListed: true, failed: failed) == [a[2], aaaa[2], a[1], aaaa[1]])
    #expect(order(addresses, failed: addresses) == order(addresses))
  }

  @Test(arguments: 1...6) func theLoadOfWhatFailedIsSpreadEvenly(failed: Int) {
    let addresses = Array(a[0...6])
    let rest = 7 - failed
    var first: [Int] = Array(repeating: 0, count: 7)
    for rotation in 0..<rest * 7 {
      let ordered = order(addresses, rotation: rotation, failed: Array(addresses[..<failed]))
      first[addresses.firstIndex(of: ordered[0])!] += 1
    }
    #expect(first == Array(repeating: 0, count: failed) + Array(repeating: 7, count: rest))
  }

  @Test func aPenaltyEnds() {
    let addresses = [a[1], a[2]]
    let almost = Nanoseconds(count: 29_999_999_999)
    #expect(order(addresses, failed: [a[1]], after: almost) == [a[2], a[1]])
    #expect(order(addresses, failed: [a[1]], after: .seconds(30)) == [a[1], a[2]])
  }

  @Test func anotherFailureBeginsItAnew() {
    var penalties = AddressPenalties()
    penalties.add(a[1], now: start)
    penalties.add(a[1], now: start + .seconds(20))
    #expect(penalties.has(a[1], now: start + .seconds(49)))
    #expect(!penalties.has(a[1], now: start + .seconds(50)))
  }

  @Test func successClearsIt() {
    var penalties = AddressPenalties()
    penalties.clear(a[1])
    penalties.add(a[1], now: start)
    penalties.add(a[2], now: start)
    penalties.clear(a[1])
    #expect(!penalties.has(a[1], now: start))
    #expect(penalties.has(a[2], now: start))
  }

  @Test func ofManyTheOldestIsForgotten() {
    var penalties = AddressPenalties()
    for index in 0..<33 { penalties.add(ipv6(UInt64(index)), now: start) }
    #expect((0..<33).filter { penalties.has(ipv6(UInt64($0)), now: start) } == Array(1..<33))
    // One that is there already pushes nobody out.
    penalties.add(ipv6(1), now: start)
    #expect((0..<33).filter { penalties.has(ipv6(UInt64($0)), now: start) } == Array(1..<33))
  }
}
