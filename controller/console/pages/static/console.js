// Keeps an open page true. Every page is whole without this: nothing is made here, the
// server's HTML is put in where it changed.
"use strict";

(() => {
	const live = document.getElementById("live");
	const find = document.getElementById("find");
	const main = () => document.getElementById("main");

	// "/" goes to the search from anywhere but a field, Escape back to the page.
	document.addEventListener("keydown", (e) => {
		const field = e.target.closest("input, textarea, select, [contenteditable]");
		if (e.key === "/" && !field && !e.ctrlKey && !e.altKey && !e.metaKey) {
			e.preventDefault();
			find.focus();
			find.select();
		} else if (e.key === "Escape" && e.target === find) {
			main().focus();
		}
	});

	// say tells the state of the connection, and only when it is another: it is read aloud.
	function say(state, text) {
		live.dataset.state = state;
		if (live.textContent !== text) live.textContent = text;
	}

	// Times. The server's clock counts, not this machine's.
	let ahead = 0;
	function setClock() { ahead = Date.parse(main().dataset.now) - Date.now(); }

	function span(s) {
		const two = (big, bigName, small, smallName) => {
			const rest = Math.floor((s % big) / small);
			return Math.floor(s / big) + " " + bigName + (rest > 0 ? " " + rest + " " + smallName : "");
		};
		if (s < 60) return s + " s";
		if (s < 600) return two(60, "min", 1, "s");
		if (s < 3600) return Math.floor(s / 60) + " min";
		if (s < 86400) return two(3600, "h", 60, "min");
		if (s < 8640000) return two(86400, "d", 3600, "h");
		return Math.floor(s / 86400) + " d";
	}

	function tellTimes() {
		const now = Date.now() + ahead;
		for (const time of document.querySelectorAll("time")) {
			const s = Math.round((now - Date.parse(time.dateTime)) / 1000);
			const text = s < -1 ? "in " + span(-s) : s < 1 ? "now" : span(s) + " ago";
			const rel = time.querySelector(".rel");
			if (rel && rel.textContent !== text) rel.textContent = text;
		}
	}

	// meld makes the children of old those of fresh. Elements that stay are the same ones and
	// are not moved, so that focus, scroll, selection and open details stay with them. Those
	// with a name are known by it, the others by their place.
	const nameOf = (n) => n.nodeType !== Node.ELEMENT_NODE ? undefined
		: n.dataset.key ?? (n.id || n.getAttribute("aria-labelledby") || n.getAttribute("aria-label") || undefined);
	const isBlank = (n) => n.nodeType === Node.TEXT_NODE && !n.data.trim();
	const isLike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.className === b.className;

	function meld(old, fresh, mark) {
		let wanted = [...fresh.childNodes];
		const names = new Map(wanted.map((n) => [nameOf(n), n]));
		const named = new Map();
		for (const child of [...old.children]) {
			const name = nameOf(child);
			if (name === undefined) continue;
			if (names.has(name)) named.set(name, child);
			else child.remove();
		}
		names.delete(undefined);
		if (names.size > 0) { // blanks between named ones say nothing, and would have to move
			wanted = wanted.filter((n) => !isBlank(n));
			[...old.childNodes].filter(isBlank).forEach((n) => n.remove());
		}
		let here = old.firstChild;
		for (const want of wanted) {
			const name = nameOf(want);
			let have = name !== undefined ? named.get(name) : like(here, want);
			if (have && have.nodeName !== want.nodeName) have = null;
			if (!have) {
				old.insertBefore(want, here);
				if (mark && want.dataset && want.dataset.key !== undefined) want.classList.add("fresh");
				continue;
			}
			while (here && here !== have && nameOf(here) === undefined) here = remove(here);
			if (have === here) here = here.nextSibling;
			else old.insertBefore(have, here);
			if (want.nodeType === Node.ELEMENT_NODE) meldElement(have, want, mark);
			else if (have.data !== want.data) have.data = want.data;
		}
		while (here) here = remove(here);
	}

	// like is the next node without a name that is of want's kind.
	function like(from, want) {
		for (let n = from; n; n = n.nextSibling) {
			if (nameOf(n) === undefined && isLike(n, want)) return n;
		}
		for (let n = from; n && nameOf(n) === undefined; n = n.nextSibling) {
			if (n.nodeName === want.nodeName) return n;
		}
		return null;
	}

	function remove(node) {
		const next = node.nextSibling;
		node.remove();
		return next;
	}

	function meldElement(have, want, mark) {
		if (have.isEqualNode(want)) return;
		for (const { name } of [...have.attributes]) {
			if (!want.hasAttribute(name) && name !== "open") have.removeAttribute(name);
		}
		for (const { name, value } of want.attributes) {
			if (have.getAttribute(name) !== value && name !== "open") have.setAttribute(name, value);
		}
		meld(have, want, mark);
	}

	// refresh asks for the main part of this page again, and says whether it came. One at a
	// time: what comes meanwhile makes one more.
	let asking = false, again = false;
	async function refresh() {
		if (asking) {
			again = true;
			return true;
		}
		asking = true;
		let came = false;
		try {
			const answer = await fetch(location.href, { headers: { "Ibfabric-Fragment": "main" }, credentials: "same-origin", cache: "no-store" });
			const text = await answer.text();
			const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("main");
			// What is gone is said in its place; what cannot be told now leaves the page as it was.
			if (came = fresh && (answer.ok || answer.status === 404)) put(fresh);
			else lost(fresh ? fresh.querySelector("[data-error]").textContent : JSON.parse(text).message);
		} catch {
			lost();
		}
		asking = false;
		if (again) {
			again = false;
			refresh();
		}
		return came;
	}

	function put(fresh) {
		const page = main();
		const had = document.activeElement;
		// What is not there may come: a page that says so listens for what it listened for before.
		fresh.dataset.topics ||= page.dataset.topics;
		meldElement(page, fresh, true);
		document.title = page.dataset.title;
		setClock();
		tellTimes();
		if (had && !had.isConnected) page.focus({ preventScroll: true });
	}

	function lost(reason) {
		say("lost", "Not live: " + (reason || "no answer; trying again"));
	}

	// The watch. A tab that nobody sees lets it go: a browser has few connections to a host.
	let watch = null, retry = 0;
	function open() {
		close();
		const source = watch = new EventSource(document.body.dataset.watch);
		watch.addEventListener("tick", (e) => {
			const ours = main().dataset.topics.split(" ");
			say("live", "Live");
			if (JSON.parse(e.data).topics.some((t) => ours.includes(t))) refresh();
		});
		watch.addEventListener("error", async () => {
			if (source !== watch) return; // let go
			if (source.readyState !== EventSource.CLOSED) {
				lost(); // the browser tries again by itself
				return;
			}
			// A refusal ends it for good. The page's own answer says why, if it has one.
			retry = setTimeout(open, 5000);
			if (await refresh()) say("lost", "Not live: load the page again for news");
		});
	}

	function close() {
		clearTimeout(retry);
		if (watch) watch.close();
		watch = null;
	}

	setClock();
	setInterval(() => { if (!document.hidden) tellTimes(); }, 1000);
	document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
	addEventListener("pagehide", close);
	addEventListener("pageshow", (e) => { if (e.persisted) open(); });
	if (!document.hidden) open();
})();
