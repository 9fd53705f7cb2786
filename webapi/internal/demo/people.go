package demo

import "net/http"

// maxPeople is how many are listed; the count beside the list tells how many there are.
const maxPeople = 300

type somebody struct {
	ClientID string `json:"clientId"`
	Name     string `json:"name"`
	Online   bool   `json:"online"`
}

// people answers GET /demo/people: those who are in the lobby, and online.
func (d *Demo) people(w http.ResponseWriter, r *http.Request, _ person) {
	members, _, err := d.im.GroupMembers(r.Context(), lobby, "", groupPage)
	if err != nil {
		d.fail(w, err)
		return
	}
	list := []somebody{}
	total := 0
	for _, m := range members {
		name, ok := nicknameOf(m.ClientID)
		if !ok || !m.Online {
			continue
		}
		if total++; len(list) < maxPeople {
			list = append(list, somebody{m.ClientID, name, true})
		}
	}
	answer(w, http.StatusOK, map[string]any{"people": list, "total": total})
}
